"""Pretrained weights: timm's own conversions, files, and a hub that does or does not answer."""

import hashlib
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import huggingface_hub
import pytest
import timm
import torch
from safetensors.torch import load_file, save, save_file
from timm.layers.pos_embed import resample_abs_pos_embed

from recam.core.errors import UserError
from recam.models.backbones import TimmBackbone
from recam.models.tokens import TokenBackbone
from recam.models.weights import load_weights


def drawn(name, **options):
    """The state dict of timm's own network, every tensor drawn."""
    generator = torch.Generator().manual_seed(0)
    state = timm.create_model(name, **options).state_dict()
    return {
        key: torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for key, value in state.items()
    }


def loaded(state, path, name="test_vit", stride=16):
    """A backbone with the tensors of a file."""
    torch.save(state, path)
    backbone = TokenBackbone(name, output_stride=stride)
    load_weights(backbone, name=name, weights=str(path))
    return backbone


def bare(backbone):
    return {key.removeprefix("network."): value for key, value in backbone.state_dict().items()}


def is_subset(some, state):
    return all(torch.equal(value, state[key]) for key, value in some.items())


@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_the_head_of_a_transformer_is_dropped(tmp_path, wrapper):
    state = drawn("test_vit")
    given = {wrapper: state} if wrapper else state
    assert is_subset(bare(loaded(given, tmp_path / "w.pth")), state)


def test_attention_pooling_is_a_head(tmp_path):
    state = drawn("test_vit3")
    assert sum(key.startswith("attn_pool") for key in state) > TokenBackbone.head_limit
    assert is_subset(bare(loaded(state, tmp_path / "w.pth", "test_vit3")), state)


def test_the_norm_after_pooling_becomes_that_of_every_token(tmp_path):
    state = drawn("test_vit", global_pool="avg")
    assert "norm.weight" not in state
    found = bare(loaded(state, tmp_path / "w.pth"))
    assert torch.equal(found["norm.weight"], state["fc_norm.weight"])
    assert torch.equal(found["norm.bias"], state["fc_norm.bias"])


def test_a_missing_norm_is_not_left_at_random(tmp_path):
    state = drawn("test_vit", global_pool="avg")
    del state["fc_norm.weight"]
    with pytest.raises(UserError, match=r"1 of its .* tensors are missing, 0 are not its own"):
        loaded(state, tmp_path / "w.pth")


def test_position_embeddings_of_another_size_are_resized_as_by_timm(tmp_path):
    state = drawn("test_vit", img_size=224, num_classes=0)
    found = bare(loaded(state, tmp_path / "w.pth"))
    expected = resample_abs_pos_embed(state["pos_embed"], new_size=[10, 10], num_prefix_tokens=1)
    torch.testing.assert_close(found["pos_embed"], expected)
    del state["pos_embed"], found["pos_embed"]
    assert is_subset(found, state)


def test_names_of_the_authors_of_clip_are_converted(tmp_path):
    state = drawn("test_vit", num_classes=0)
    swaps = {
        r"^blocks\.": "transformer.resblocks.",
        r"qkv\.": "in_proj_",
        r"attn\.proj": "attn.out_proj",
        r"mlp\.fc1": "mlp.c_fc",
        r"mlp\.fc2": "mlp.c_proj",
        r"^norm\.": "ln_post.",
        r"\.norm(\d)": r".ln_\1",
    }
    theirs = {
        "visual.class_embedding": state["cls_token"][0, 0],
        "visual.positional_embedding": state["pos_embed"][0],
        "visual.proj": torch.zeros(64, 32),
        "visual.conv1.weight": state["patch_embed.proj.weight"],
        "visual.conv1.bias": state["patch_embed.proj.bias"],
        "positional_embedding": torch.zeros(77, 32),
    }
    for key, value in state.items():
        if key.startswith(("blocks", "norm")):
            renamed = key
            for ours, other in swaps.items():
                renamed = re.sub(ours, other, renamed)
            theirs[f"visual.{renamed}"] = value
    assert is_subset(bare(loaded(theirs, tmp_path / "w.pth")), state)


def test_a_backbone_of_this_project_of_another_image_size_is_taken(tmp_path):
    state = {f"network.{k}": v for k, v in drawn("test_vit", img_size=224, num_classes=0).items()}
    found = loaded(state, tmp_path / "w.pth").state_dict()
    del state["network.pos_embed"]
    assert is_subset(state, found)


def test_a_safetensors_file_is_read(tmp_path):
    state = drawn("test_vit")
    save_file(state, tmp_path / "model.safetensors")
    backbone = TokenBackbone("test_vit", output_stride=16)
    load_weights(backbone, name="test_vit", weights=str(tmp_path / "model.safetensors"))
    assert is_subset(bare(backbone), load_file(tmp_path / "model.safetensors"))


# The hub


class Hub(ThreadingHTTPServer):
    """A hub with one file for every repository, or none that works."""

    def __init__(self, content):
        super().__init__(("127.0.0.1", 0), _Answers)
        self.content, self.asked = content, []


class _Answers(BaseHTTPRequestHandler):
    def do_HEAD(self):
        content = self.server.content
        if "/resolve/" in self.path:  # the client may ask for more than files
            self.server.asked.append(self.path)
        if content is None:
            self.send_error(503)
            return
        if not self.path.endswith("model.safetensors"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        if self.server.content and self.path.endswith("model.safetensors"):
            self.wfile.write(self.server.content)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A function that makes a local hub and lets the client use it, with an empty cache."""

    @contextmanager
    def serving(content):
        server = Hub(content)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()

    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    huggingface_hub.close_session()  # its client remembers the proxies
    yield serving
    huggingface_hub.close_session()


def test_weights_come_from_the_hub_and_then_from_the_cache(hub):
    state = drawn("test_vit")
    backbone = TokenBackbone("test_vit", output_stride=16)
    with hub(save(state)) as server:
        load_weights(backbone, name="test_vit", weights="imagenet")
        assert is_subset(bare(backbone), state)
        assert set(server.asked) == {"/timm/test_vit.r160_in1k/resolve/main/model.safetensors"}
    backbone = TokenBackbone("test_vit", output_stride=16)
    with hub(None):
        load_weights(backbone, name="test_vit", weights="imagenet")
    assert is_subset(bare(backbone), state)


@pytest.mark.parametrize("name", ["test_vit", "test_vit.r160_in1k"])
def test_a_hub_that_does_not_serve_is_asked_once(hub, name):
    backbone = TokenBackbone(name, output_stride=16)
    with hub(None) as server, pytest.raises(UserError) as caught:
        load_weights(backbone, name=name, weights="imagenet")
    assert len(server.asked) == 1
    assert str(caught.value).startswith(
        f"backbone {name}: its pretrained weights could not be downloaded ("
    )
    assert "\n" not in str(caught.value)


def test_a_missing_network_is_an_error_after_one_try(hub):
    backbone = TokenBackbone("test_vit", output_stride=16)
    with hub(None):
        pass  # nobody listens on its port any more
    with pytest.raises(UserError, match=r"could not be downloaded .*; connect to the internet"):
        load_weights(backbone, name="test_vit", weights="imagenet")


def test_a_network_without_weights_says_so():
    backbone = TimmBackbone("resnetblur18", output_stride=32)
    with pytest.raises(UserError, match="timm has none for this name"):
        load_weights(backbone, name="resnetblur18", weights="imagenet")
