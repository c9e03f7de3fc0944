"""Tiny networks: checkpoints of a segmenter and of classifiers, and classifiers of one's own."""

from dataclasses import replace

import torch
from torch import nn

from recam.catalogue.methods import make_classifier
from recam.catalogue.segmenters import make_segmenter
from recam.io.checkpoints import ModelConfig, save_checkpoint
from recam.pipeline.prediction_numbers import PredictionNumbers

CLASSES = ("cat", "dog", "hen")
CONFIG = ModelConfig(
    method="cam",
    backbone="test_resnet",
    output_stride=16,
    classes=CLASSES,
    frozen_batch_norm=False,
    frozen_stem=False,
)
SEGMENTER = replace(CONFIG, method="deeplab", rates=(1, 2))


def write_segmenter(path, *, longest_side=0, **numbers):
    """A segmenter whose weights and statistics are drawn, so that its masks have all classes.

    ``numbers`` of its predictions stand beside it, if there are any.
    """
    config = replace(SEGMENTER, longest_side=longest_side)
    if numbers:
        PredictionNumbers(**numbers).write(path.with_name("prediction.json"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make_segmenter(config)
        with torch.no_grad():
            model.train().maps(torch.randn(4, 3, 48, 48))
            model.classifier.weight.mul_(20)
    save_checkpoint(path, model.state_dict(), config)
    return path


def write_classifier(path, method="recam"):
    """A classifier with drawn weights."""
    config = replace(CONFIG, method=method, weight=1.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        save_checkpoint(path, make_classifier(config).state_dict(), config)
    return path


class Own(nn.Module):
    """One's own classifier: a convolution, a functional ReLU and mean, a linear layer."""

    def __init__(self, num_classes=3):
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, kernel_size=4, stride=4)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(8, num_classes)

    def forward(self, images):
        """Logits (B, K)."""
        features = self.convolution(images).relu()
        return self.head(self.dropout(features.mean(dim=(2, 3))))
