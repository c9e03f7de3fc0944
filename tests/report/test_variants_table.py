"""The table and the figure of CAM variants, worked out by hand."""

import pandas as pd
import pytest

from recam.report.provenance import STEPS as TIMED
from recam.report.replicates import RESULTS
from recam.report.variants import (
    STEPS,
    cost_of,
    methods_of,
    targets_table,
    variant_of,
    variants_figure,
    variants_in,
    variants_table,
)

# Maps of random seeds 0 and 1; pseudo masks are 10 higher.
MAPS = {
    "cam": (38, 40),
    "control": (40, 40),
    "recam": (50, 52),
    "cam-lpcam": (44, 46),
    "control-lpcam": (45, 45),
    "recam-lpcam": (53, 56),
}


@pytest.fixture
def results():
    """The scores of six methods on `shapes`."""
    rows = [
        ("shapes", seed, method, stage, miou + more, miou + more + 1, 0.5, None)
        for method, mious in MAPS.items()
        for seed, miou in enumerate(mious)
        for stage, more in (("cams", 0.0), ("pseudo", 10.0))
    ]
    return pd.DataFrame(rows, columns=RESULTS)


@pytest.fixture
def cost():
    """Time and memory of these methods, whose read-outs share classifiers."""
    rows = [("train_cam", "cam", s, 60.0, 1024.0) for s in (0, 1)]
    rows += [("train_recam", "recam", s, 30.0 + 4 * s, 2048.0) for s in (0, 1)]
    rows += [("make_cams", "recam", 0, 9.0, 100.0)]
    rows += [("make_cams", "recam-lpcam", s, 40.0, 512.0) for s in (0, 1)]
    rows += [("make_clusters", "recam-lpcam", s, 5.0, 3072.0) for s in (0, 1)]
    columns = ["step", "method", "random_seed", "seconds", "max_rss"]
    return cost_of("shapes", pd.DataFrame(rows, columns=columns), list(MAPS))


def row_of(table, *names):
    """The cells of a row after its names."""
    (line,) = [x for x in table.splitlines() if x.startswith(f"| {' | '.join(names)} |")]
    return [cell.strip() for cell in line.split("|")[1 + len(names) : -1]]


def test_a_variant_has_three_methods():
    assert methods_of("cam") == ["cam", "control", "recam"]
    assert methods_of("cam-lpcam") == ["cam-lpcam", "control-lpcam", "recam-lpcam"]
    assert methods_of("seam") == ["seam", "seam-control", "seam-recam"]
    assert [variant_of(method) for method in methods_of("seam-lpcam")] == ["seam-lpcam"] * 3


def test_the_table_has_trainings_and_readouts_of_cam():
    catalogue = [*MAPS, "seam", "seam-recam", "seam-lpcam", "cam-gradcam", "recam-gradcam"]
    assert variants_in(catalogue) == ["cam", "cam-lpcam", "seam"]


def test_cells_are_means_and_deviations(results, cost):
    table = variants_table(results, cost)
    assert row_of(table, "shapes", "CAM", "ReCAM")[:3] == [
        *("51.0 ± 1.4 (52.0 ± 1.4)", "61.0 ± 1.4 (62.0 ± 1.4)", "-"),
    ]
    assert row_of(table, "shapes", "LPCAM", "alone")[0] == "45.0 ± 1.4 (46.0 ± 1.4)"
    assert "without street; random seeds 0, 1 instead of 0, 1, 2" in table
    assert "saliency" not in table


def test_a_row_counts_the_steps_of_its_classifier(results, cost):
    table = variants_table(results, cost)
    # 60 + 30 and 60 + 34 to train; 5 + 40 for maps, without the maps of ReCAM itself.
    assert row_of(table, "shapes", "LPCAM", "ReCAM")[3:] == ["92", "45", "-", "-", "3.0"]
    assert row_of(table, "shapes", "LPCAM", "alone")[3:] == ["60", "-", "-", "-", "1.0"]


def test_every_timed_step_is_in_a_column():
    assert set(TIMED) == set(STEPS)


def test_targets_are_paired_differences(results):
    table = targets_table(results)
    gain = row_of(table, "shapes", "ReCAM + LPCAM - ReCAM")  # 3 and 4
    assert gain == ["cams ≥ 4", "+3.5 ± 0.7", "missed by 0.5"]
    alone = row_of(table, "shapes", "CAM + LPCAM - CAM")
    assert alone == ["cams ≥ 6", "+6.0 ± 0.0", "reached"]
    above = [line for line in table.splitlines() if "ReCAM + LPCAM - control + LPCAM" in line]
    assert len(above) == 2
    assert all("≥ 0 | +9.5 ± 2.1 | reached" in line for line in above)
    assert "AdvCAM" not in table


def test_rows_that_used_saliency_are_marked(results, cost):
    lpcam = [method.endswith("lpcam") for method in results["method"]]
    results.loc[lpcam, "saliency"] = "folder"
    table = variants_table(results, cost)
    assert "| shapes | LPCAM † | alone |" in table
    assert "| shapes | CAM | alone |" in table
    assert "\n† used saliency maps.\n" in table


def test_the_tables_are_the_same_after_the_csv(results, cost, tmp_path):
    results.to_csv(tmp_path / "results.csv", index=False)
    cost.to_csv(tmp_path / "cost.csv", index=False)
    read = [pd.read_csv(tmp_path / f"{name}.csv") for name in ("results", "cost")]
    assert variants_table(*read) == variants_table(results, cost)


def test_the_figure_has_a_panel_for_each_data_set_and_stage(results):
    street = results.assign(dataset="street", miou=results["miou"] / 2)
    figure = variants_figure(pd.concat([results, street]))
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        *("shapes: cams", "shapes: pseudo masks", "street: cams", "street: pseudo masks"),
    ]
    alone, control, recam = (c.lines[0].get_ydata().tolist() for c in figure.axes[0].containers)
    assert (alone, control, recam) == ([39, 45], [40, 45], [51, 54.5])
    labels = [label.get_text() for label in figure.axes[-1].get_xticklabels()]
    assert labels == ["CAM", "LPCAM"]


def test_every_row_counts_the_step_that_learns_saliency_maps():
    timed = pd.DataFrame(
        [("train_saliency", "saliency", 0, 20.0, 1024.0), ("make_pseudo", "cam", 0, 3.0, 10.0)],
        columns=["step", "method", "random_seed", "seconds", "max_rss"],
    )
    found = cost_of("shapes", timed, ["cam", "recam"])
    assert found.groupby("method")["seconds"].sum().to_dict() == {"cam": 23, "recam": 20}
