"""Parts of make_clusters: parameters of the clusters and of their selection."""

from recam.pipeline.clusters import ClusterNumbers
from recam.pipeline.prototypes import Limits
from recam.steps.sections.make_clusters import MakeClusters


def cluster_numbers(numbers: MakeClusters) -> ClusterNumbers:
    """The parameters of the clusters."""
    return ClusterNumbers(
        images=numbers.images,
        clusters=numbers.clusters,
        foreground=numbers.foreground,
        batch_size=numbers.batch_size,
    )


def limits_of(numbers: MakeClusters) -> Limits:
    """The limits of the clusters that are kept as prototypes."""
    return Limits(
        foreground=numbers.judged_foreground,
        context_min=numbers.context_min,
        context_max=numbers.context_max,
    )
