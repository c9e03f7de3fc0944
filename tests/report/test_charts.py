"""Charts show the numbers of their tables, worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from recam.report import charts, error_charts, outcome_charts, training_charts
from recam.report.style import DOTS, LOOKS, PAGE

RUN = ["random_seed", "method"]
CONFUSION = [*RUN, "truth", "prediction", "pixels"]
CAPTION = "The second method finds more than the first, at the same score. " * 3


def line_of(axes, method):
    """The line of a method with its marker, that is drawn first."""
    return next(line for line in axes.lines if line.get_color() == LOOKS[method].colour)


def whiskers(axes):
    """The ends of the whiskers of an axes, those along x."""
    segments = [s for c in axes.collections for s in c.get_segments() if len(s)]
    return [sorted(segment[:, 0].tolist()) for segment in segments]


def words(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def panel(figure, title):
    return next(axes for axes in figure.axes if axes.get_title(loc="left").startswith(title))


@pytest.fixture
def curves():
    """Two seeds of CAM and one of ReCAM, with two losses."""
    rows = [(s, "cam", "classifier", e, "bce", v + s) for s in (0, 2) for e, v in ((1, 4), (2, 2))]
    rows += [(0, "recam", "classifier", 1, loss, v) for loss, v in (("bce", 1), ("sce", 3))]
    return pd.DataFrame(rows, columns=[*RUN, "network", "epoch", "loss", "value"])


@pytest.fixture
def confusion():
    """CAM twice, ReCAM once, cats and dogs of 100 and 50 pixels."""
    runs = {(0, "cam"): 10, (1, "cam"): 20, (0, "recam"): 5}
    rows = []
    for (seed, method), wrong in runs.items():
        rows += [
            (seed, method, "background", "background", 100),
            (seed, method, "background", "dog", 25),
            (seed, method, "cat", "cat", 60),
            (seed, method, "cat", "dog", wrong),
            (seed, method, "cat", "background", 40 - wrong),
            (seed, method, "dog", "dog", 50),
        ]
    return pd.DataFrame(rows, columns=CONFUSION)


def test_a_legend_of_six_methods_with_long_names_is_within_the_figure():
    methods = ["cam", "recam", "mctformer", "mctformer-recam", "clip_es", "clip_es-recam"]
    rows = [(0, method, "classifier", epoch, "bce", 1.0) for method in methods for epoch in (1, 2)]
    curves = pd.DataFrame(rows, columns=[*RUN, "network", "epoch", "loss", "value"])
    figure = training_charts.losses(curves)
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_losses_are_means_over_seeds_in_a_panel_for_each_loss(curves):
    figure = training_charts.losses(curves)
    bce, sce = (axes for axes in figure.axes if axes.axison)
    assert line_of(bce, "cam").get_xydata().tolist() == [[1, 5], [2, 3]]
    assert line_of(sce, "recam").get_xydata().tolist() == [[1, 3]]
    assert len(sce.lines) == 1
    assert bce.get_yscale() == "log"
    assert words(figure) == ["CAM", "ReCAM"]


def test_the_band_is_one_sample_deviation_wide_and_missing_for_one_seed(curves):
    axes = training_charts.losses(curves).axes[0]
    band, alone = (c.get_paths() for c in axes.collections)
    deviation = 2**0.5  # of 4 and 6: ((-1)² + 1²) / (2 - 1)
    heights = band[0].vertices[:, 1]
    assert heights.max() == pytest.approx(5 + deviation)
    assert heights.min() == pytest.approx(3 - deviation)
    assert alone == []


def test_held_out_quantities_have_a_figure_of_their_own_beside_the_training_loss(curves):
    rows = [(0, "recam", "classifier", 0, "held-out bce", 2.0)]
    rows += [(0, "recam", "classifier", 1, "held-out bce", 3.0)]
    rows += [(0, "recam", "classifier", e, "held-out recall", 0.75) for e in (0, 1)]
    more = pd.concat([curves, pd.DataFrame(rows, columns=curves.columns)])
    bce, recall = (axes for axes in training_charts.held_out(more).axes if axes.axison)
    solid = [line for line in bce.lines if line.get_linestyle() == "-"]
    assert [line.get_xydata().tolist() for line in solid] == [[[0, 2], [1, 3]]]
    dashed = [line for line in bce.lines if line.get_linestyle() == "--"]
    assert [line.get_xydata().tolist() for line in dashed] == [[[1, 5], [2, 3]], [[1, 1]]]
    assert recall.get_ylim() == (0, 1)
    assert line_of(recall, "recam").get_xydata().tolist() == [[0, 0.75], [1, 0.75]]
    assert len([axes for axes in training_charts.losses(more).axes if axes.axison]) == 2
    assert training_charts.held_out(curves) is None


def test_sweeps_mark_the_threshold_used_and_the_oracle_threshold():
    rows = [(s, "recam", "cams", t, m + s) for s in (0, 2) for t, m in ((0.0, 10), (0.5, 40))]
    curves = pd.DataFrame(rows, columns=[*RUN, "stage", "threshold", "miou"])
    values = {"split": "train", "threshold": 0.4, "miou": 41.5}
    values |= {"oracle_threshold": 0.55, "oracle_miou": 42.5}
    (axes,) = charts.sweeps(curves, {"cams": {"recam": values}}).axes
    mean, best, used = axes.lines
    assert mean.get_xydata().tolist() == [[0, 11], [0.5, 41]]
    assert best.get_xydata().tolist() == [[0.55, 42.5]]
    assert used.get_xydata().tolist() == [[0.4, 41.5]]
    assert best.get_markerfacecolor() == "white"
    assert used.get_markerfacecolor() == LOOKS["recam"].colour


def test_sweeps_need_no_metrics():
    curves = pd.DataFrame(
        [(0, "cam", "pseudo", 0.5, 40.0)], columns=[*RUN, "stage", "threshold", "miou"]
    )
    (axes,) = charts.sweeps(curves, {"pseudo": {}}).axes
    assert len(axes.lines) == 1


def test_each_miou_is_written_beside_its_marker():
    cam = {"split": "train", "miou": 41.23, "miou_std": 1.5}
    recam = {"split": "train", "miou": 52.0, "miou_std": 0}
    (axes,) = charts.miou_by_stage({"cams": {"recam": recam, "cam": cam}, "seg": {}}).axes
    assert [text.get_text() for text in axes.texts] == ["CAM  41.2 ± 1.5", "ReCAM  52.0"]
    assert [text.xy for text in axes.texts] == [(42.73, 0), (52, 1)]
    assert whiskers(axes) == [pytest.approx([39.73, 42.73])]


def test_cost_shows_minutes_and_gibibytes_in_the_steps_order():
    rows = [
        ("train", "cam", 0, 120, 1024),
        ("train", "cam", 1, 240, 3072),
        ("make", "cam", 0, 60, 512),
    ]
    figure = charts.cost(pd.DataFrame(rows, columns=["step", *RUN[::-1], "seconds", "max_rss"]))
    time, memory = figure.axes
    assert [label.get_text() for label in time.get_yticklabels()] == ["train", "make"]
    assert time.get_xlabel() == "time, minutes"
    assert line_of(time, "cam").get_xydata().tolist() == [[3, 0], [1, 1]]
    assert line_of(memory, "cam").get_xdata().tolist() == [2, 0.5]
    assert whiskers(time) == [pytest.approx([3 - 2**0.5, 3 + 2**0.5])]


def test_confusions_are_shares_of_the_true_class_before_after_and_between(confusion):
    figure = error_charts.confusions(confusion, before="cam", after="recam", classes=("cat", "dog"))
    maps = {
        title: panel(figure, title).images[0].get_array().filled(-1).tolist()
        for title in ("CAM, %", "ReCAM, %", "ReCAM \N{MINUS SIGN}")
    }
    assert maps == {  # the diagonal is left out: -1
        "CAM, %": [[-1, 15], [0, -1]],
        "ReCAM, %": [[-1, 5], [0, -1]],
        "ReCAM \N{MINUS SIGN}": [[-1, -10], [0, -1]],
    }
    change = panel(figure, "ReCAM \N{MINUS SIGN}")
    assert [text.get_text() for text in change.texts] == ["\N{MINUS SIGN}10"]
    assert change.images[0].get_clim() == (-10, 10)
    together = panel(figure, "all other")
    assert line_of(together, "cam").get_xdata().tolist() == [15, 0]


def test_confusions_without_after_are_one_map(confusion):
    figure = error_charts.confusions(confusion, before="recam", after=None, classes=("cat", "dog"))
    assert sum(len(axes.images) for axes in figure.axes) == 1


def test_a_class_absent_from_the_ground_truth_has_no_shares(confusion):
    shares = error_charts.mean_shares(confusion, ["cat", "hen"])
    assert np.isnan(shares[1]).all()
    assert shares[0, 1] == 0


def test_of_many_classes_the_most_confused_are_shown():
    names = [f"class {i:02}" for i in range(25)]
    rows = [(0, "cam", name, name, 100) for name in names]
    rows += [(0, "cam", names[i], names[i - 1], i) for i in range(1, 25)]
    table = pd.DataFrame(rows, columns=CONFUSION)
    figure = error_charts.confusions(table, before="cam", after=None, classes=names)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == names[5:]  # in their order: each has its own wrong pixels and the next one's
    assert figure.legends[0].get_title().get_text() == "the 20 most confused of 25 classes"


def test_errors_by_class_are_shares_of_its_ground_truth_pixels(confusion):
    figure = error_charts.by_class(confusion, methods=["recam", "cam"])
    missed = panel(figure, "false negatives")
    assert [label.get_text() for label in missed.get_yticklabels()] == ["cat", "dog"]
    assert line_of(missed, "cam").get_xdata().tolist() == [40, 0]
    on_background = panel(figure, "false positives\non background")
    assert line_of(on_background, "recam").get_xdata().tolist() == [0, 50]
    on_objects = panel(figure, "false positives\non other objects")
    assert line_of(on_objects, "cam").get_xdata().tolist() == [0, 30]  # 10 and 20 of 50 pixels
    deviation = 50**0.5  # of the dogs' 20 and 40 %
    assert pytest.approx([30 - 2 * deviation, 30 + 2 * deviation]) in whiskers(on_objects)


def test_errors_by_class_show_only_the_methods_given(confusion):
    assert words(error_charts.by_class(confusion, methods=["recam"])) == ["ReCAM"]


def outcome_rows(name, values):
    """Rows of outcomes: for two methods, and for each value a found share."""
    rows: list[tuple[object, ...]] = []
    for value, found in values.items():
        for seed, method in ((0, "cam"), (2, "cam"), (0, "recam"), (2, "recam")):
            more = 10 if method == "recam" else 0
            rows.append((seed, method, value, found + seed + more, 5, 20, 30, 7))
    columns = [*RUN, name, "found", "other", "missed", "extra", "objects"]
    return pd.DataFrame(rows, columns=columns)


def test_outcomes_by_size_stand_in_the_order_of_the_sizes():
    rows = outcome_rows("size", {"5-12 %": 60, "12-30 %": 70})
    rows["size"] = pd.Categorical(rows["size"], ["12-30 %", "5-12 %", "30-40 %"], ordered=True)
    figure = outcome_charts.by_size(rows)
    axes = panel(figure, "found")
    assert line_of(axes, "cam").get_ydata().tolist() == [71, 61]
    assert line_of(axes, "recam").get_ydata().tolist() == [81, 71]
    below = panel(figure, "missed")
    assert [label.get_text() for label in below.get_xticklabels()] == ["12-30", "5-12"]


def test_outcomes_alone_and_with_others_fill_bars_end_to_end():
    figure = outcome_charts.alone_or_with_others(
        outcome_rows("alone", {"one class": 60, "several classes": 50})
    )
    alone = panel(figure, "images with one class (7 objects)")
    found, other, missed = (
        [(bar.get_x(), bar.get_width()) for bar in bars] for bars in alone.containers
    )
    assert found == [(0, 61), (0, 71)]  # CAM, ReCAM
    assert other == [(61, 5), (71, 5)]
    assert missed == [(66, 20), (76, 20)]
    assert [text.get_text() for text in alone.texts] == ["61 ± 1", "71 ± 1", "5", "5"] + [
        "20 ± 0"
    ] * 2
    assert [label.get_text() for label in alone.get_yticklabels()] == ["CAM", "ReCAM"]


def test_a_method_without_objects_beside_others_has_no_bar():
    rows = outcome_rows("alone", {"one class": 60, "several classes": 50})
    rows = rows[(rows["method"] == "cam") | (rows["alone"] == "one class")]
    several = panel(outcome_charts.alone_or_with_others(rows), "images with several")
    assert [text.get_text() for text in several.texts if text.get_text()] == [
        "51 ± 1",
        "5",
        "20 ± 0",
    ]


def test_one_seed_has_no_whiskers(confusion):
    once = confusion[confusion["random_seed"] == 0]
    figure = error_charts.by_class(once, methods=["cam", "recam"])
    assert not any(np.isfinite(ends).all() for axes in figure.axes for ends in whiskers(axes))


def test_methods_stand_in_one_order_whatever_the_tables():
    table = pd.DataFrame({"method": ["supervised", "recam", "cam"]})
    assert charts.methods_in(table) == ["cam", "recam", "supervised"]


@pytest.mark.parametrize(
    ("draw", "columns"),
    [
        (training_charts.losses, [*RUN, "network", "epoch", "loss", "value"]),
        (training_charts.held_out, [*RUN, "network", "epoch", "loss", "value"]),
        (lambda t: charts.sweeps(t, {}), [*RUN, "stage", "threshold", "miou"]),
        (charts.cost, ["step", *RUN, "seconds", "max_rss"]),
        (lambda t: error_charts.by_class(t, methods=["cam"]), CONFUSION),
        (
            lambda t: error_charts.confusions(t, before="cam", after="recam", classes=("a", "b")),
            CONFUSION,
        ),
        (outcome_charts.by_size, [*RUN, "size", *outcome_charts.OUTCOMES]),
        (
            outcome_charts.alone_or_with_others,
            [*RUN, "alone", *outcome_charts.OUTCOMES, "objects"],
        ),
    ],
)
def test_nothing_is_drawn_of_no_rows(draw, columns):
    assert draw(pd.DataFrame(columns=columns)) is None


def test_there_is_no_chart_of_miou_without_scores():
    assert charts.miou_by_stage({"cams": {}, "seg": {"cam": {"split": "val", "of": 3}}}) is None


def test_one_class_cannot_be_confused(confusion):
    cats = confusion[confusion["truth"] != "dog"]
    assert error_charts.confusions(cats, before="cam", after="recam", classes=("cat",)) is None


def test_a_long_name_keeps_its_ends():
    assert charts.short("instrument") == "instrument"
    assert charts.short("class of things, number 17") == "class of…mber 17"


def test_a_saved_figure_has_the_caption_below_it_and_the_same_bytes_again(tmp_path):
    metrics = {"seg": {"cam": {"split": "val", "miou": 50.0}}}
    figure = charts.miou_by_stage(metrics)
    bare = figure.get_figheight()
    charts.save(figure, tmp_path / "a.png", caption=CAPTION)
    higher = figure.get_figheight()
    charts.save(figure, tmp_path / "again.png", caption=CAPTION)
    charts.save(charts.miou_by_stage(metrics), tmp_path / "b.png", caption=CAPTION)
    assert figure.get_supxlabel().split() == CAPTION.split()
    assert len(figure.get_supxlabel().splitlines()) > 1
    assert figure.get_figheight() == pytest.approx(higher)
    assert higher > bare
    saved = (tmp_path / "a.png").read_bytes()
    assert saved == (tmp_path / "b.png").read_bytes() == (tmp_path / "again.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == int(PAGE * DOTS)
        assert "Software" not in image.info
        below = np.asarray(image.convert("L"))[-40:]
    assert below.min() < 140  # words, in grey
