"""Pictures of a network in training, on images of two colours whose maps are known."""

import numpy as np
import pytest
import torch
from PIL import Image

from recam.core.labels import class_colours
from recam.data.augmentation import Augmentation
from recam.data.layout import WeakSplit
from recam.data.loading import LabelledImages, MaskedImages
from recam.io.images import write_mask
from recam.methods.cam import Cam
from recam.models.backbones import Backbone
from recam.models.segmenters import Segmenter
from recam.pipeline.live_pictures import picture_of

SIDE = 8
ORANGE, BLUE = class_colours(2)[1:3].astype(float)  # of the two classes
RED, BLACK = (255, 0, 0), (0, 0, 0)  # of the halves of the image


class Pixels(Backbone):
    """The features are the colours of the pixels."""

    channels = skip_channels = 3
    level_channels, level_strides = (3,), (1,)
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def levels(self, images):
        return [images]

    def with_skip(self, images):
        return images, images

    def freeze_stem(self):
        pass


class ByColour(Segmenter):
    """Predicts class 1 where a pixel is red, class 2 where it is green, else background."""

    def __init__(self):
        super().__init__()
        self.backbone = Pixels()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def logits(self, images):
        return torch.cat([torch.full_like(images[:, :1], 0.5), images[:, :2]], dim=1)


@pytest.fixture
def split(tmp_path):
    """One image, red above and black below, that shows class 1, and its training mask."""
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[: SIDE // 2] = RED
    Image.fromarray(pixels).save(tmp_path / "a.png")
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[SIDE // 2 :] = 2
    write_mask(tmp_path / "masks/a.png", mask, num_classes=2)
    labels = np.array([[True, False]])
    paths = (tmp_path / "a.png",)
    return WeakSplit(name="train", ids=("a",), images=paths, labels=labels, classes=("r", "g"))


AS_STORED = Augmentation(
    **{"resize_min": SIDE, "resize_max": SIDE, "crop": SIDE, "colour": 0.0},
    **{"mean": Pixels.mean, "std": Pixels.std},
)


def columns(picture, count):
    """The colours of each column's upper and lower half."""
    assert picture.shape == (SIDE, count * SIDE, 3)
    halves = picture.reshape(2, SIDE // 2, count, SIDE, 3)
    assert (halves == halves[:, :1, :, :1]).all()
    return halves[:, 0, :, 0].transpose(1, 0, 2).tolist()


def drawn(model, images):
    picture = picture_of(model, images)
    assert picture
    return picture()


def mixed(pixel, colour):
    return np.round(np.array(pixel) * 0.4 + colour * 0.6).tolist()


def test_a_classifier_is_drawn_with_the_maps_of_present_classes(split):
    model = Cam(Pixels(), channels=3, num_classes=2)
    with torch.no_grad():
        model.classifier.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    model.train()
    picture = drawn(model, LabelledImages(split, AS_STORED, random_seed=0))
    image, maps = columns(picture, 2)
    assert image == [[255, 0, 0], [0, 0, 0]]
    assert maps == [mixed(RED, ORANGE), [0, 0, 0]]
    assert model.training


def test_a_segmenter_is_drawn_beside_the_mask_that_it_learns(split, tmp_path):
    model = ByColour().train()
    images = MaskedImages(split, tmp_path / "masks", AS_STORED, random_seed=0)
    image, mask, prediction = columns(drawn(model, images), 3)
    assert image == [[255, 0, 0], [0, 0, 0]]
    assert mask == [[255, 0, 0], mixed(BLACK, BLUE)]
    assert prediction == [mixed(RED, ORANGE), [0, 0, 0]]
    assert model.training
    assert model.foreground.counts is None  # the watchdog judges training alone


def test_other_networks_have_no_picture(split):
    assert picture_of(Pixels(), LabelledImages(split, AS_STORED, random_seed=0)) is None
