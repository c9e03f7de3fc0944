"""Names, order and looks of methods that join training, re-activation and read-out."""

from itertools import product

import pytest

from recam.catalogue import names
from recam.catalogue.names import METHODS
from recam.report.methods import (
    REACTIVATIONS,
    READOUTS,
    SUPERVISED,
    TRAININGS,
    Parts,
    before_and_after,
    learned_saliency,
    ordered,
    parts_of,
)
from recam.report.style import LOOKS, look_of
from recam.report.style import READOUTS as READOUT_LOOKS

GRID = [Parts(*parts).name for parts in product(TRAININGS, ("", *REACTIVATIONS), ("", *READOUTS))]


@pytest.mark.parametrize("name", METHODS)
def test_a_name_has_the_parts_that_the_catalogue_gives_it(name):
    method = METHODS[name]
    assert tuple(parts_of(name)) == (method.training, method.reactivation, method.readout)
    assert (parts_of(name).classifier, parts_of(name).name) == (method.classifier, name)


def test_the_report_marks_the_trainings_that_need_saliency():
    assert [name for name in METHODS if learned_saliency(name)] == [
        name for name in METHODS if names.needs_saliency(name)
    ]
    assert learned_saliency("eps-recam-lpcam")
    assert not learned_saliency(SUPERVISED)
    assert not names.needs_saliency(SUPERVISED)


def test_methods_are_in_the_order_of_their_parts_and_supervised_is_last():
    mixed = ["supervised", "smoothed", "seam-recam", "recam-lpcam", "recam", "seam", "cam-lpcam"]
    assert ordered([*mixed, "control", "cam", "cam"]) == [
        *("cam", "cam-lpcam", "control", "recam", "recam-lpcam", "seam", "seam-recam"),
        *("smoothed", "supervised"),
    ]


def test_no_two_methods_look_alike():
    methods = [*GRID, SUPERVISED, "smoothed", "cam-sharp"]
    looks = [look_of(method) for method in methods]
    assert len({look.colour for look in looks}) == len(methods)
    assert len({look.name for look in looks}) == len(methods)
    markers = [look.marker for look in (*LOOKS.values(), *READOUT_LOOKS.values())]
    assert len(set(markers)) == len(markers)


def test_a_name_joins_those_of_its_parts():
    assert look_of("recam-lpcam").name == "ReCAM + LPCAM"
    assert look_of("seam-recam-advcam").name == "SEAM + ReCAM + AdvCAM"
    assert look_of("smoothed-recam").name == "smoothed + ReCAM"


@pytest.mark.parametrize(
    ("methods", "pair"),
    [
        (["recam", "cam", "seam", "seam-recam"], ("cam", "recam")),
        (["cam", "seam-recam", "seam"], ("seam", "seam-recam")),
        (["cam-lpcam", "recam", "recam-lpcam"], ("cam-lpcam", "recam-lpcam")),
        (["cam", "control", "recam-lpcam", "supervised"], None),
    ],
)
def test_the_pair_to_compare_differs_by_recam_only(methods, pair):
    assert before_and_after(methods) == pair
