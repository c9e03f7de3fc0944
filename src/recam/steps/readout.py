"""Parts of make_cams: the parameters of its read-out."""

from recam.catalogue.methods import ReadoutNumbers
from recam.steps.sections.make_cams import MakeCams


def readout_numbers(numbers: MakeCams) -> ReadoutNumbers:
    """The parameters of all read-outs, from those of the step."""
    return ReadoutNumbers(combine=numbers.combine, levels=numbers.levels)
