"""Parts of make_cams: the parameters of its read-out."""

from recam.catalogue.methods import ReadoutNumbers
from recam.methods.advcam import Climb
from recam.steps.sections.make_cams import MakeCams


def readout_numbers(numbers: MakeCams) -> ReadoutNumbers:
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
    )
