"""``recam export``: a trained segmenter as an ONNX file."""

import argparse
import importlib
import logging
from pathlib import Path

from recam.interface.files import checkpoint_file
from recam.runtime.loading import loading

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
DESCRIPTION = """\
Write a trained segmenter as one ONNX file, for programs without PyTorch.

Input "pixels": float32 (batch, 3, height, width), RGB in [0, 1].
Output "probabilities": float32 (batch, classes, height, width), at one scale,
without a mirror image. Batch, height and width are free. The metadata entry
"classes" is a JSON list of the class names, background first."""
EXAMPLE = "recam export --checkpoint segmenter.pt --onnx segmenter.onnx"

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the checkpoint and the file to write."""
    add = parser.add_argument
    add("--checkpoint", type=Path, required=True, metavar="FILE", help="segmenter.pt of train_seg")
    add("--onnx", type=Path, required=True, metavar="FILE", help="ONNX file to write")


def run(args: argparse.Namespace) -> int:
    """Write the file; it is compared with PyTorch before."""
    checkpoint_file(args.checkpoint)
    with loading():
        for package in PACKAGES:
            importlib.import_module(package)
        from recam.catalogue.segmenters import load_segmenter  # noqa: PLC0415 imports PyTorch
        from recam.pipeline.onnx_files import export  # noqa: PLC0415
    segmenter, model_config = load_segmenter(args.checkpoint)
    export(args.onnx, segmenter, model_config.classes)
    size, classes = args.onnx.stat().st_size / 1e6, len(model_config.classes)
    logger.info("%s: %.1f MB, background and %d classes", args.onnx, size, classes)
    return 0
