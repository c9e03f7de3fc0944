# The whole project with its environment, on CPUs or GPUs:
#   docker build --tag recam .                              CPU builds of PyTorch
#   docker build --tag recam --build-arg TORCH=cu128 .      CUDA builds; run with --gpus all
#   docker run --rm --volume recam:/recam recam make run    the volume keeps results and the cache
ARG PYTHON=3.12
FROM python:${PYTHON}-slim-bookworm

ARG TORCH=cpu
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /recam
# Packages first: a change of the code alone installs nothing anew.
COPY pyproject.toml constraints.txt Makefile README.md LICENSE ./
COPY src/recam/__init__.py src/recam/__init__.py
RUN PIP_NO_CACHE_DIR=1 UV_NO_CACHE=1 make install TORCH=${TORCH}
COPY . .
ENV PATH=/recam/.venv/bin:${PATH}
CMD ["make", "help"]
