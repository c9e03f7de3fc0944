"""Parts of make_cams: the read-out of a method and its parameters."""

from pathlib import Path

from recam.catalogue.names import CLUSTERED
from recam.catalogue.readouts import ReadoutNumbers, make_readout
from recam.core.errors import UserError
from recam.data.layout import require_classes
from recam.methods.advcam import Climb
from recam.methods.lpcam import Prototypes
from recam.methods.mctformer import Fusion
from recam.methods.variant import Readout, Variant
from recam.pipeline.prototypes import load_prototypes
from recam.steps.sections.make_cams import MakeCams, MakeCamsRun


def readout_of(
    numbers: MakeCamsRun, model: Variant, classes: tuple[str, ...], *, prototypes: Path | None
) -> Readout:
    """The read-out of the chosen method; ``prototypes`` is the file that LPCAM needs.

    Raises UserError if that method has no such file, or one of other classes.
    """
    loaded = None
    if numbers.method in CLUSTERED:
        if prototypes is None:
            raise UserError(
                f"--prototypes: {numbers.method} expects a clusters.pt, got none; run "
                "make_clusters and pass its output"
            )
        loaded, known = load_prototypes(prototypes)
        require_classes(known, classes, source=prototypes)
    return make_readout(numbers.method, model, readout_numbers(numbers, prototypes=loaded))


def readout_numbers(numbers: MakeCams, *, prototypes: Prototypes | None = None) -> ReadoutNumbers:
    """The parameters of all read-outs, from those of the step."""
    return ReadoutNumbers(
        combine=numbers.combine,
        levels=numbers.levels,
        advcam_weights=numbers.advcam_weights,
        advcam=Climb(
            steps=numbers.advcam_steps,
            step_size=numbers.advcam_step_size,
            weight=numbers.advcam_lambda,
            threshold=numbers.advcam_threshold,
            penalty=numbers.advcam_penalty,
            batch_size=numbers.advcam_batch_size,
        ),
        fusion=Fusion(blocks=numbers.mctformer_blocks, affinity=numbers.mctformer_affinity),
        prototypes=prototypes,
    )
