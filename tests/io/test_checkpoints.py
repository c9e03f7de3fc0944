"""Checkpoints and states come back from disk, and other files are refused."""

import pytest
import torch
from foreign import FOREIGN, Malicious

from recam.core.errors import UserError
from recam.io.checkpoints import (
    ModelConfig,
    load_checkpoint,
    load_state,
    save_checkpoint,
    save_state,
)

MODEL_CONFIG = ModelConfig(
    method="recam",
    backbone="resnet18",
    output_stride=16,
    classes=("cat", "dog"),
    frozen_batch_norm=True,
    frozen_stem=False,
    weight=0.5,
    rates=(1, 2),
)


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path, generator):
    tensors = {"weight": torch.randn(2, 3, generator=generator), "steps": torch.tensor(7)}
    save_checkpoint(tmp_path / "model.pt", tensors, MODEL_CONFIG)
    loaded, model_config = load_checkpoint(tmp_path / "model.pt")
    assert model_config == MODEL_CONFIG
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensors[name]) for name in tensors)


def test_the_order_of_memory_is_no_part_of_a_checkpoint(tmp_path, generator):
    plain = torch.randn(2, 3, 4, 4, generator=generator)
    for name, tensor in {
        "plain": plain,
        "last": plain.to(memory_format=torch.channels_last),
    }.items():
        save_checkpoint(tmp_path / f"{name}/model.pt", {"weight": tensor}, MODEL_CONFIG)
    one, other = ((tmp_path / f"{name}/model.pt").read_bytes() for name in ("plain", "last"))
    assert one == other


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(UserError, match=r"model\.pt: not found; run the step that makes it"):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("content", FOREIGN.values(), ids=FOREIGN)
def test_a_file_of_something_else_is_no_checkpoint(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.pt: (damaged, or )?not a"):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize(
    "content",
    [{"weight": torch.zeros(2)}, {"format": "recam-checkpoint-0"}, {}, [torch.zeros(2)]],
    ids=["state dict", "other format", "empty", "list"],
)
def test_tensors_of_another_project_are_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "model.pt")
    with pytest.raises(
        UserError, match=r"model\.pt: not a recam checkpoint; pass one written by a"
    ):
        load_checkpoint(tmp_path / "model.pt")


@pytest.mark.parametrize("load", [load_checkpoint, load_state])
def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path, load):
    torch.save({"format": Malicious(tmp_path / "made")}, tmp_path / "model.pt")
    with pytest.raises(UserError, match=r"model\.pt: damaged, or not a file of plain tensors"):
        load(tmp_path / "model.pt")
    assert not (tmp_path / "made").exists()


def test_a_truncated_checkpoint_is_refused(tmp_path):
    save_checkpoint(tmp_path / "model.pt", {"weight": torch.zeros(99)}, MODEL_CONFIG)
    content = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"model\.pt: damaged"):
        load_checkpoint(tmp_path / "model.pt")


def test_a_state_comes_back_as_it_was_saved(tmp_path):
    state = {"key": "k", "curve": [(1, "bce", 0.5)], "model": {"w": torch.ones(2)}}
    save_state(tmp_path / "state.pt", state)
    loaded = load_state(tmp_path / "state.pt")
    assert (loaded["key"], loaded["curve"]) == (state["key"], state["curve"])
    assert torch.equal(loaded["model"]["w"], torch.ones(2))


def test_no_state_is_none(tmp_path):
    assert load_state(tmp_path / "state.pt") is None


@pytest.mark.parametrize("change", [lambda b: b.pop("radius"), lambda b: b.update(depth=3)])
def test_a_checkpoint_of_another_version_is_named(tmp_path, change):
    path = tmp_path / "model.pt"
    save_checkpoint(path, {"weight": torch.zeros(2)}, MODEL_CONFIG)
    content = torch.load(path, weights_only=True)
    change(content["model_config"])
    torch.save(content, path)
    with pytest.raises(UserError, match=r"model\.pt: made by another version of recam; run the"):
        load_checkpoint(path)
