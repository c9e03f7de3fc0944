"""Clusters of the local features of each class, in one pass over images and in bounded memory.

Chen & Sun, "Extracting Class Activation Maps from Non-Discriminative Features as well", CVPR 2023,
keep the features of all images for k-means with the cosine distance. Here k-means learns from parts
of a stream of unit vectors and forgets them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor

from recam.core.randomness import derived_seed, numpy_generator
from recam.data.layout import WeakSplit
from recam.methods.cam import peak_normalised
from recam.methods.lpcam import Prototypes
from recam.methods.variant import Variant
from recam.models.backbones import backbone_of
from recam.pipeline.inference import equal_size_batches
from recam.pipeline.signs import evenly_spaced
from recam.runtime.precision import autocast
from recam.runtime.progress import progress

# Of one class in one image, foreground and context each: the 1024 positions of a VOC image are
# much alike, and a large object must not outweigh the others.
VECTORS_PER_IMAGE = 64
# Vectors from which k-means learns at once. COCO's 80 classes keep 1.3 GiB of 2048 channels.
BUFFER = 1024

Vectors = Float[np.ndarray, "_ C"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNumbers:
    """The parameters of clusters."""

    images: int  # at most, evenly spaced in the split
    clusters: int  # at most, of the foreground of a class and of its context
    foreground: float  # peak-normalised CAM above which a position is foreground, else context
    batch_size: int


@dataclass(slots=True, kw_only=True)
class StreamedClusters:
    """k-means of the directions of vectors that arrive in parts."""

    count: int
    channels: int
    random_seed: int  # below 2^32
    waiting: list[Vectors] = field(default_factory=list[Vectors])
    kmeans: MiniBatchKMeans | None = None
    lengths: Float[np.ndarray, "n"] = field(init=False)  # by cluster, summed over its vectors
    members: Float[np.ndarray, "n"] = field(init=False)

    def __post_init__(self):
        self.lengths, self.members = np.zeros(self.count), np.zeros(self.count)

    def add(self, vectors: Vectors) -> None:
        """Take vectors, none of them zero; learn from all that wait once they fill a buffer."""
        self.waiting.append(vectors)
        if sum(map(len, self.waiting)) >= BUFFER:
            self._learn()

    def centres(self) -> Float[Tensor, "_ C"]:
        """The centres of non-empty clusters: mean unit vectors times mean lengths.

        A centre is the mean of its vectors where length does not depend on direction.
        """
        self._learn()
        if self.kmeans is None:
            return torch.zeros(0, self.channels)
        used = np.flatnonzero(self.members)
        length = self.lengths[used] / self.members[used]
        directions = np.asarray(self.kmeans.cluster_centers_)[used]
        return torch.from_numpy(directions * length[:, None]).float()

    def _learn(self) -> None:
        vectors = np.concatenate([np.zeros((0, self.channels), np.float32), *self.waiting])
        self.waiting = []
        if not len(vectors):
            return
        if self.kmeans is None:
            count = min(self.count, len(vectors))
            self.kmeans = MiniBatchKMeans(count, random_state=self.random_seed)
        lengths = np.linalg.norm(vectors, axis=1)
        self.kmeans.partial_fit(vectors / lengths[:, None])
        np.add.at(self.lengths, self.kmeans.labels_, lengths)
        np.add.at(self.members, self.kmeans.labels_, 1)


def cluster_features(
    model: Variant,
    split: WeakSplit,
    numbers: ClusterNumbers,
    *,
    random_seed: int,
    precision: torch.dtype,
) -> Prototypes:
    """The centres of the local features of each class, of images at their own size.

    A class that no chosen image shows has none. Raises UserError for an unreadable image. Cost:
    two forward passes an image.
    """
    foreground, context = (
        [
            StreamedClusters(
                count=numbers.clusters,
                channels=model.weights.shape[1],
                random_seed=derived_seed(random_seed, "make_clusters", kind, name) >> 31,
            )
            for name in split.classes
        ]
        for kind in ("foreground", "context")
    )
    generator = numpy_generator(random_seed, "make_clusters", "positions")
    for index, features, cams in _local_features(model, split, numbers, precision=precision):
        for k in np.flatnonzero(split.labels[index]):
            is_foreground = cams[k] > numbers.foreground
            foreground[k].add(_some(features[is_foreground], generator))
            context[k].add(_some(features[~is_foreground], generator))
    return Prototypes(
        foreground=tuple(clusters.centres() for clusters in foreground),
        context=tuple(clusters.centres() for clusters in context),
    )


def _local_features(
    model: Variant, split: WeakSplit, numbers: ClusterNumbers, *, precision: torch.dtype
) -> Iterator[tuple[int, Vectors, Float[np.ndarray, "K P"]]]:
    """The index of each chosen image, its features and the peak-normalised CAMs of W."""
    chosen = evenly_spaced(split.ids, numbers.images)
    index_of = {image_id: index for index, image_id in enumerate(split.ids)}
    indices = [index_of[image_id] for image_id in chosen]

    def by_image() -> Iterator[tuple[int, Vectors, Float[np.ndarray, "K P"]]]:
        paths = [split.images[index] for index in indices]
        for batch in equal_size_batches(paths, batch_size=numbers.batch_size):
            with torch.no_grad(), autocast(precision, model.weights.device):
                images = backbone_of(model).normalise(batch.pixels.to(model.weights.device))
                cams = peak_normalised(model.maps(images)).flatten(2).cpu().numpy()
                features = model.features(images).flatten(2).transpose(1, 2).cpu().numpy()
            for number, position in enumerate(batch.positions):
                yield indices[position], features[number], cams[number]

    return progress(by_image(), total=len(indices), what="clusters", unit="image")


def _some(vectors: Vectors, generator: np.random.Generator) -> Vectors:
    """At most VECTORS_PER_IMAGE of the vectors that are not zero, drawn at random."""
    vectors = vectors[vectors.any(axis=1)]
    if len(vectors) <= VECTORS_PER_IMAGE:
        return vectors
    return vectors[generator.choice(len(vectors), VECTORS_PER_IMAGE, replace=False)]
