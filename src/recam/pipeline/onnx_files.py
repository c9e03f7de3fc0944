"""A trained segmenter as an ONNX file, for programs without PyTorch."""

import copy
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.padding import pad_same
from torch import Tensor, nn
from torch.nn import functional

from recam.core.errors import UserError
from recam.core.labels import class_names_with_background
from recam.io.atomic import replacing
from recam.models.backbones import backbone_of
from recam.models.lite import SameConv
from recam.models.segmenters import Segmenter, resized

INPUT, OUTPUT = "pixels", "probabilities"
EXAMPLE, CHECK = (2, 3, 96, 128), (1, 3, 75, 61)  # input shapes of the export and of the check
TOLERANCE = 1e-4  # of probabilities


class ProbabilitiesOfPixels(nn.Module):
    """A segmenter with normalised input and output at the size of the image."""

    def __init__(self, segmenter: Segmenter):
        super().__init__()
        self.segmenter = segmenter

    def forward(self, pixels: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B N H W"]:
        """Map RGB pixels in [0, 1] to probabilities of background and classes."""
        images = backbone_of(self.segmenter).normalise(pixels)
        return resized(self.segmenter.maps(images), pixels.shape[2:])


def export(path: Path, segmenter: Segmenter, classes: tuple[str, ...]) -> None:
    """Write the ONNX file after a check that ONNX Runtime reproduces PyTorch's probabilities.

    Raises UserError if the exporter fails or a probability differs by more than 1e-4.
    """
    network = ProbabilitiesOfPixels(segmenter).eval()
    exported = copy.deepcopy(network)
    _replace_same_padding(exported)
    with _silence():
        try:
            program = torch.onnx.export(
                exported,
                (torch.rand(EXAMPLE),),
                dynamo=True,
                dynamic_shapes={INPUT: {0: "batch", 2: "height", 3: "width"}},
                input_names=[INPUT],
                output_names=[OUTPUT],
                custom_translation_table={torch.ops.recam.conv_same.default: _onnx_of_conv_same()},
                verbose=False,
            )
        except torch.onnx.OnnxExporterError as error:
            raise UserError(
                f"{path}: PyTorch's exporter does not support this network; train one with "
                "another backbone or segmenter"
            ) from error
    if program is None:
        raise TypeError("expected the exporter to return a program")
    program.model.metadata_props["classes"] = json.dumps(class_names_with_background(classes))
    with replacing(path) as temporary:
        program.save(str(temporary), external_data=False)
        _compare(temporary, network)


@torch.library.custom_op("recam::conv_same", mutates_args=())
def conv_same(
    images: Tensor, weight: Tensor, bias: Tensor | None, stride: list[int], groups: int
) -> Tensor:
    """A convolution with TensorFlow's "same" padding: ceil(length / stride) cells on each axis.

    ONNX has an operator for it. Traced as arithmetic of sizes, a few such layers cost the exporter
    minutes.
    """
    padded = pad_same(images, list(weight.shape[2:]), stride)
    return functional.conv2d(padded, weight, bias, stride, groups=groups)


@conv_same.register_fake
def _(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None,  # noqa: ARG001 one signature for both
    stride: list[int],
    groups: int,  # noqa: ARG001
) -> Tensor:
    height, width = (
        (length + step - 1) // step for length, step in zip(images.shape[2:], stride, strict=True)
    )
    return images.new_empty(images.shape[0], weight.shape[0], height, width)


class _ConvSame(nn.Module):
    def __init__(self, layer: nn.Conv2d):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.stride, self.groups = list(layer.stride), layer.groups

    def forward(self, images: Tensor) -> Tensor:
        return conv_same(images, self.weight, self.bias, self.stride, self.groups)


def _replace_same_padding(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, Conv2dSame | SameConv) and child.dilation == (1, 1):
            setattr(module, name, _ConvSame(cast(nn.Conv2d, child)))
        else:
            _replace_same_padding(child)


def _onnx_of_conv_same() -> Callable:
    op = importlib.import_module("onnxscript").opset18

    def translated(images, weight, bias, stride, groups):
        return op.Conv(images, weight, bias, strides=stride, group=groups, auto_pad="SAME_UPPER")

    return translated


def _compare(path: Path, network: nn.Module) -> None:
    """Raise UserError unless the file and the network agree on an image of another size."""
    pixels = torch.rand(CHECK, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(pixels).numpy()
    session = importlib.import_module("onnxruntime").InferenceSession(path.read_bytes())
    (given,) = session.run([OUTPUT], {INPUT: pixels.numpy()})
    if given.shape != expected.shape or np.abs(given - expected).max() > TOLERANCE:
        raise UserError(
            "the exported network and the trained one disagree, so no file was written; train one "
            "with another backbone or segmenter"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """Suppress the exporter's progress messages and deprecation warnings."""
    heard = io.StringIO()
    with warnings.catch_warnings(), redirect_stdout(heard), redirect_stderr(heard):
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)
