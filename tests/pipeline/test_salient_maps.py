"""Maps of saliency as files: polarity and values."""

import numpy as np
import pytest
import torch

from recam.data.layout import load_weak_split
from recam.io.images import read_image, read_saliency
from recam.io.resumable import ResumableFolder
from recam.methods.ccam import Ccam
from recam.models.backbones import Backbone
from recam.pipeline.salient_maps import write_salient_maps


class Pixels(Backbone):
    """The pixels as they are."""

    channels = skip_channels = 3
    level_channels, level_strides = (3, 3), (1, 1)
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def levels(self, images):
        return [images, images]

    def with_skip(self, images):
        return images, images

    def freeze_stem(self):
        pass


class Frame(Ccam):
    """A region that is the frame of each image, or all but it."""

    def __init__(self, *, frame, inside):
        super().__init__(Pixels(), channels=6, rank_decay=0.0)
        self.frame, self.inside = frame, inside

    def maps(self, images):
        maps = torch.full((len(images), 1, *images.shape[2:]), self.frame)
        maps[:, :, 1:-1, 1:-1] = self.inside
        return maps


@pytest.mark.parametrize(("frame", "inside"), [(0.2, 0.8), (0.8, 0.2)])
def test_the_region_of_the_border_is_black_whichever_it_is(voc, tmp_path, frame, inside):
    split = load_weak_split(voc, "train")
    folder = ResumableFolder(tmp_path / "maps", key="")
    model = Frame(frame=frame, inside=inside)
    write_salient_maps(model, split, folder, batch_size=2, precision=torch.float32)
    for image_id, image in zip(split.ids, split.images, strict=True):
        saliency = read_saliency(folder.partial / f"{image_id}.png")
        expected = np.full(read_image(image).shape[:2], 51)  # 0.2 of 255
        expected[1:-1, 1:-1] = 204
        np.testing.assert_array_equal(saliency, expected)


def test_maps_of_a_killed_run_are_kept(voc, tmp_path):
    split = load_weak_split(voc, "train")
    folder = ResumableFolder(tmp_path / "maps", key="")
    done = folder.partial / f"{split.ids[0]}.png"
    done.write_bytes(b"done")
    model = Frame(frame=0.0, inside=1.0)
    write_salient_maps(model, split, folder, batch_size=2, precision=torch.float32)
    assert done.read_bytes() == b"done"
    assert len(list(folder.partial.glob("*.png"))) == len(split.ids)
