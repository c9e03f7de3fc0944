"""Weights of timm's networks: one try to reach them, then timm's own download."""

from collections.abc import Mapping

from torch import Tensor

PATIENCE = 10.0  # seconds that the hub has for its first answer
FILES = ("model.safetensors", "pytorch_model.bin")  # the names that timm tries, in its order


def timm_state(name: str) -> Mapping[str, Tensor]:
    """The tensors of a network of timm with its pretrained weights, from the cache or the hub.

    Raises LookupError for a network without weights, and exceptions of many kinds for a download
    that fails; a hub that cannot be reached is tried once.
    """
    import timm  # noqa: PLC0415 slow to import

    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise LookupError("timm has none for this name; another tag of it may have some")
    if config.hf_hub_id:
        given = config.hf_hub_filename
        _require_on_hub(config.hf_hub_id, (given,) if given else FILES)
    return timm.create_model(name, pretrained=True).state_dict()


def _require_on_hub(repository: str, files: tuple[str, ...]) -> None:
    """Raise where no file is in the cache and the hub does not answer one request.

    timm's own download asks for each file in turn, and repeats each request several times.
    """
    from huggingface_hub import (  # noqa: PLC0415 slow to import
        get_hf_file_metadata,
        hf_hub_url,
        try_to_load_from_cache,
    )
    from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415

    name, _, revision = repository.partition("@")
    at = revision or None
    if any(isinstance(try_to_load_from_cache(name, file, revision=at), str) for file in files):
        return
    for file in files:
        try:
            get_hf_file_metadata(hf_hub_url(name, file, revision=at), timeout=PATIENCE)
        except EntryNotFoundError:
            continue
        return
    raise LookupError(f"none of {', '.join(files)} is in {name}")
