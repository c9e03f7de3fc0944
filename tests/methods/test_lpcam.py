"""LPCAM: maps by cosine with prototypes, on features of one-hot directions."""

import pytest
import torch
from torch import nn

from recam.methods.cam import Cam
from recam.methods.lpcam import Prototypes, lpcam
from recam.methods.variant import both_views

X, Y, Z = torch.eye(3).split(1)
NONE = torch.zeros(0, 3)
BOTH = torch.tensor([[True, True]])


@pytest.fixture
def cam():
    """A CAM of two classes whose features are the pixels."""
    return Cam(nn.Identity(), channels=3, num_classes=2)


@pytest.fixture
def image():
    """Two positions of one row: 2 X, and 4 X + 3 Y."""
    return torch.tensor([[2.0, 4.0], [0.0, 3.0], [0.0, 0.0]]).reshape(1, 3, 1, 2)


def maps_of(cam, image, foreground, context, present=BOTH):
    prototypes = Prototypes(foreground=foreground, context=context)
    readout = lpcam(cam, prototypes, fallback=both_views(cam.maps))
    return readout(image, present)


def test_a_map_is_the_mean_cosine_with_foreground_minus_that_with_context(cam, image):
    maps = maps_of(cam, image, (torch.cat([X, Y]), X), (Y, NONE))
    # Cosines with X are 1 and 0.8, with Y 0 and 0.6.
    torch.testing.assert_close(maps[0, 0, 0], torch.tensor([0.5 - 0.0, 0.7 - 0.6]))
    torch.testing.assert_close(maps[0, 1, 0], torch.tensor([1.0, 0.8]))


def test_a_map_below_zero_is_zero_also_without_context(cam, image):
    maps = maps_of(cam, -image, (X, X), (NONE, Y))
    assert maps.flatten().tolist() == [0.0] * 4


class LeftOnly(nn.Module):
    """Features of the left column alone, so that the right one is seen in the mirror image."""

    def forward(self, images):
        return images * torch.tensor([1.0, 0.0])


def test_the_features_of_both_views_are_summed(image):
    cam = Cam(LeftOnly(), channels=3, num_classes=2)
    maps = maps_of(cam, image, (X, Y), (NONE, NONE))
    torch.testing.assert_close(maps[0, :, 0], torch.tensor([[1.0, 0.8], [0.0, 0.6]]))


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_length_of_features_and_of_prototypes_does_not_matter(cam, image, scale, generator):
    centres = [torch.randn(n, 3, generator=generator) for n in (2, 3, 1, 2)]
    expected = maps_of(cam, image, tuple(centres[:2]), tuple(centres[2:]))
    scaled = [centre * scale for centre in centres]
    found = maps_of(cam, image * scale, tuple(scaled[:2]), tuple(scaled[2:]))
    assert expected.any()
    torch.testing.assert_close(found, expected)


def test_a_class_without_foreground_prototypes_keeps_the_map_of_its_classifier(cam, image):
    nn.init.ones_(cam.classifier)
    maps = maps_of(cam, image, (X, NONE), (NONE, Y))
    torch.testing.assert_close(maps[0, 0, 0], torch.tensor([1.0, 0.8]))
    assert maps[0, 1, 0].tolist() == [4.0, 14.0]  # sums of the channels, of both views


def test_the_classifier_reads_no_maps_for_images_without_such_a_class(cam, image):
    prototypes = Prototypes(foreground=(X, NONE), context=(NONE, NONE))

    def fallback(images, present):
        raise AssertionError

    lpcam(cam, prototypes, fallback=fallback)(image, torch.tensor([[True, False]]))


def test_flipping_the_image_flips_the_maps(cam, generator):
    image = torch.rand(1, 3, 2, 4, generator=generator)
    centres = tuple(torch.randn(2, 3, generator=generator) for _ in range(4))
    found = [maps_of(cam, one, centres[:2], centres[2:]) for one in (image, image.flip(3))]
    torch.testing.assert_close(found[0], found[1].flip(3))
