"""The report's page: valid, self-contained, escaped, and complete for every kind of run."""

import base64
import io
import os
import re
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from explorer_runs import write_data
from page_runs import CAPTION, NASTY, experiment, write_figures, write_pseudo, write_run
from PIL import Image

from recam.commands.main import main
from recam.core.errors import UserError
from recam.report import charts
from recam.report.captions import Caption, caption_of
from recam.report.page.chart import panels_of
from recam.report.page.cost import cost_table
from recam.report.page.experiment import FIGURES
from recam.report.page.images import embedded
from recam.report.page.page import TITLES, write_page
from recam.report.page.sections import sections_of
from recam.report.summary import Run

LARGEST = 15_000_000
LOADED = ("src", "href", "srcset", "poster", "data", "action")
VOID = {"meta", "link", "img", "br", "input", "hr"}


class Page(HTMLParser):
    """The elements of a page: names and attributes, headings, ids and text."""

    def __init__(self, html):
        super().__init__()
        self.html = html
        self.elements, self.stack, self.headings, self.text = [], [], [], ""
        self.feed(html)
        self.close()
        assert not self.stack

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if re.fullmatch(r"h\d", tag):
            self.headings.append(int(tag[1]))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, tag

    def handle_data(self, data):
        if not {"style", "script"} & set(self.stack):
            self.text += data

    def of(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]

    @property
    def words(self):
        return " ".join(self.text.split())


def page_of(folder, runs):
    """The page of these runs, read back."""
    write_page(experiment(folder, runs), folder / "page.html")
    return Page((folder / "page.html").read_text())


def one_seed(results):
    write_figures(results)
    mious = {"cam": 50.0, "recam": 52.0, "supervised": 60.0}
    stages = {m: dict.fromkeys(("cams", "pseudo", "seg"), v) for m, v in mious.items()}
    stages["supervised"] = {"seg": 60.0}
    return [write_run(results, method, mious=stages[method]) for method in mious]


def many_seeds(results):
    write_figures(results)
    return write_pseudo(results, {"cam": [50.0, 51.0, 49.0], "recam": [53.0, 55.0, 54.0]})


def variants(results):
    write_figures(results)
    readouts = ("", "-lpcam", "-advcam", "-gradcam")
    names = [f"{name}{readout}" for name in ("cam", "control", "recam") for readout in readouts]
    return write_pseudo(results, {name: [50.0 + i] for i, name in enumerate(names)})


def no_masks(results):
    (results / "figures/maps").mkdir(parents=True)
    bad = {"pseudo_foreground": 64.0, "unseen_classes": 12.5}
    return [write_run(results, "cam"), write_run(results, "recam", signs=bad)]


def unfinished(results):
    runs = write_pseudo(results, {"cam": [50.0], "recam": [52.0]})
    for name in ("metrics.json", "segmenter.pt", "signs.json"):
        (runs[1].folder / name).unlink()
    return runs


KINDS = {f.__name__: f for f in (one_seed, many_seeds, variants, no_masks, unfinished)}


@pytest.fixture(params=KINDS, scope="module")
def page(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return page_of(folder, KINDS[request.param](folder / "results"))


def test_the_page_loads_nothing_from_elsewhere(page):
    for tag, attributes in page.elements:
        for name in LOADED:
            value = attributes.get(name)
            is_inside = value is None or value.startswith(("data:", "#"))
            assert is_inside, f"{tag} {name}={value:.80}"
    assert not re.search(r"url\(|@import|https?://", page.html.replace("http-equiv", ""))
    assert len(page.html.encode()) < LARGEST


def test_the_contents_lead_to_the_sections_in_their_order(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [a["href"].removeprefix("#") for a in page.of("a")]
    assert set(links) <= set(ids)
    assert links[-8:] == ["answer", *TITLES]
    assert [i for i in ids if i in TITLES and i in links] == list(TITLES)


def test_the_page_is_readable_without_seeing_it(page):
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(page.headings))
    assert all(image["alt"] for image in page.of("img") if "src" in image)
    assert len(page.of("caption")) == len(page.of("table"))
    assert all(cell["scope"] in ("col", "row") for cell in page.of("th"))
    svgs = page.of("svg")
    assert all(svg["role"] == "img" and svg["aria-labelledby"] for svg in svgs)
    assert len(page.of("title")) == 1 + len(svgs)
    assert page.of("html")[0]["lang"] == "en"
    assert len(page.of("main")) == len(page.of("nav")) == 1


def test_names_of_classes_are_no_markup(tmp_path):
    page = page_of(tmp_path, no_masks(tmp_path / "results"))
    assert NASTY not in page.html
    assert f"No mask shows {NASTY}" in page.words


def test_the_first_screen_of_one_seed(tmp_path):
    page = page_of(tmp_path, one_seed(tmp_path / "results"))
    assert "Yes: ReCAM's masks beat CAM's by 2.0 mIoU (seed 0)." in page.words
    assert "mIoU of pseudo masks (train) in percent" in page.words
    assert "CAM 50.0, ReCAM 52.0, supervised 60.0" in page.words  # the chart in words
    assert "One random seed: the variation between seeds is unknown" in page.words
    assert "✓ CAM, ReCAM, supervised: ok, no sign of failure." in page.words
    assert '<td class="light ok">✓ ok 20</td>' in page.html
    assert "No step was timed" in page.words
    assert "No score maps are here to explore" in page.words


def test_several_seeds_show_their_spread(tmp_path):
    page = page_of(tmp_path, many_seeds(tmp_path / "results"))
    assert "Yes: ReCAM's masks beat CAM's by 4.0 mIoU (3 seeds)." in page.words
    assert "+4.0 ± 1.0 mIoU over CAM" in page.words  # differences 3, 4, 5
    assert "CAM 50.0 ± 1.0, ReCAM 54.0 ± 1.0" in page.words
    assert page.html.count('class="seed"') == 6


def test_without_masks_the_signs_come_first(tmp_path):
    page = page_of(tmp_path, no_masks(tmp_path / "results"))
    assert "Unknown: no ground truth; the signs say bad for ReCAM, ok for CAM." in page.words
    assert page.of("svg") == []
    assert '<td class="light bad">✗ bad 64</td>' in page.html
    assert "<code>make_pseudo.crf_discount</code>" in page.html
    assert "Errors need ground truth, and nothing was scored against it." in page.words
    assert "Nothing was scored: the data set has no ground truth." in page.words


def test_an_unfinished_run_says_what_is_missing_and_what_resumes_it(tmp_path):
    page = page_of(tmp_path, unfinished(tmp_path / "results"))
    assert "Unknown: ReCAM is not evaluated yet; make run resumes the run." in page.words
    assert "1 of 2 runs lack outputs; make run resumes them" in page.words
    sentence = "Unfinished: ReCAM, random seed 0, lacks segmenter, evaluation; make run resumes it."
    assert sentence in page.words
    assert page.words.count("There is nothing to show yet; make run makes it.") == 4


def test_before_any_run_there_is_no_page(tmp_path):
    runs = [Run(folder=tmp_path / "results/seed0/cam")]
    with pytest.raises(
        UserError, match="expected the results of a run, found none; run `make run`"
    ):
        write_page(experiment(tmp_path, runs), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_the_command_needs_the_folder_of_an_experiment(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", "--experiment", str(tmp_path)])
    assert ended.value.code == 2
    words = f"expected the folder of an experiment, with params.yaml, got {tmp_path}"
    assert words in capsys.readouterr().err


# The chart


def test_marks_lie_on_the_axis_and_whiskers_reach_one_deviation():
    scores = {"pseudo": {"recam": {0: 50.0, 1: 54.0}, "cam": {0: 40.0}}, "cams": {}, "seg": {}}
    (panel,) = panels_of(scores, {"pseudo": "train"})
    assert panel.title == "pseudo masks (train)"
    assert panel.words == "CAM 40.0, ReCAM 52.0 ± 2.8"
    assert [value for _, value in panel.ticks] == [30, 40, 50, 60]
    cam, recam = panel.marks
    assert (cam.x, 40) in panel.ticks
    assert (cam.whisker, cam.seeds) == (None, ())
    per_point = (panel.ticks[1][0] - panel.ticks[0][0]) / 10
    assert recam.x - cam.x == pytest.approx(12 * per_point, abs=0.2)
    low, high = recam.whisker or (0.0, 0.0)
    assert high - low == pytest.approx(2 * 8**0.5 * per_point, abs=0.2)
    assert panel.left == panel.ticks[0][0]


@pytest.mark.parametrize(
    ("mious", "ticks"),
    [
        ([45.0], [40, 50]),
        ([0.0], [0, 10]),
        ([99.9], [90, 100]),
        ([39.1, 85.7], [40, 60, 80]),
    ],
)
def test_the_axis_has_few_round_ticks_within_0_and_100(mious, ticks):
    scores = {"pseudo": {"cam": dict(enumerate(mious))}, "cams": {}, "seg": {}}
    (panel,) = panels_of(scores, {})
    found = [value for _, value in panel.ticks]
    assert set(ticks) <= set(found)
    assert found[0] >= 0
    assert found[-1] <= 100
    assert len(found) <= 6


# Figures


def test_a_chart_keeps_its_caption_which_the_page_shows_as_text(tmp_path):
    caption = "Means over random seeds: ± one standard deviation, of every stage and method."
    figure = charts.miou_by_stage({"seg": {"cam": {"split": "val", "miou": 50.0}}})
    charts.save(figure, tmp_path / "chart.png", caption=caption)
    with Image.open(tmp_path / "chart.png") as image:
        found, height = caption_of(image), image.height
    assert found.text == caption
    assert 0 < found.pixels < height / 2
    image = embedded([tmp_path / "chart.png"], [], budget=LARGEST)[tmp_path / "chart.png"]
    assert (image.caption, image.height) == (caption, height - found.pixels)
    pixels = opened(image.uri).convert("L")
    strip = np.asarray(pixels)[-3:]
    assert strip.min() > 200  # nothing of the caption is left


@pytest.mark.parametrize("comment", ["", "made by a program", '{"text": "no pixels"}', "[1]"])
def test_a_comment_of_another_program_is_no_caption(comment):
    image = Image.new("RGB", (1, 1))
    image.info["comment"] = comment.encode()
    assert caption_of(image) is None
    image.info["comment"] = Caption(text="é", pixels=3).as_text().encode()
    assert caption_of(image) == Caption(text="é", pixels=3)


def opened(uri):
    """The image of a data URI."""
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@pytest.mark.parametrize(
    ("share", "counts", "width"),
    [(1.0, {3}, 800), (0.4, {3}, 700), (0.12, {1, 2}, 700), (0.0, {0}, None)],
)
def test_figures_fit_into_their_budget_or_are_left_out(tmp_path, share, counts, width):
    generator = np.random.default_rng(0)
    files = [tmp_path / f"{number}.jpg" for number in range(3)]
    for file in files:
        noise = generator.integers(256, size=(60, 800, 3), dtype=np.uint8)
        Image.fromarray(noise).save(file)
    most = sum(len(image.uri) for image in embedded([], files, budget=LARGEST).values())
    made = embedded([], files, budget=round(share * most))
    assert sum(len(image.uri) for image in made.values()) <= share * most
    assert len(made) in counts
    for image in made.values():
        assert opened(image.uri).size == (image.width, image.height)
        assert image.width == width


def test_a_file_that_is_no_image_is_an_error(tmp_path):
    (tmp_path / "chart.png").write_text("no image")
    with pytest.raises(UserError, match=r"chart.png: expected an image, got .*; delete it"):
        embedded([tmp_path / "chart.png"], [], budget=LARGEST)


def test_figures_have_titles_from_their_names_and_captions_as_words(tmp_path):
    results = tmp_path / "results"
    runs = one_seed(results)
    sections = sections_of(results / "figures", picture=results / "picture.png", is_scored=True)
    titles = {s.name: [(g.title, [f.title for f in g.figures]) for g in s.groups] for s in sections}
    assert titles == {
        "maps": [("", ["Largest gains"])],
        "masks": [("Pseudo masks", ["Largest gains"]), ("Segmentation", ["Largest gains"])],
        "errors": [("Cams", ["Confusions"]), ("Segmentation", ["By class"])],
        "curves": [("", ["Thresholds"])],
    }
    page = page_of(tmp_path, runs)
    images = [image for image in page.of("img") if "src" in image]
    assert [image["alt"] for image in images].count(f"Confusions: {CAPTION}") == 1
    assert all(image["loading"] == "lazy" for image in images)


def test_outdated_figures_are_drawn_beside_those_of_the_step(tmp_path):
    write_data(tmp_path)
    results = tmp_path / "results"
    write_figures(results)
    run = Run(folder=results / "seed0/cam")
    run.folder.mkdir(parents=True)
    curve = run.folder / "classifier_curve.csv"
    curve.write_text("epoch,loss,value\n1,bce,0.2\n2,bce,0.1\n")
    described = experiment(tmp_path, [run])
    for when, expected in ((1, "figures"), (2, "report/figures")):  # before and after the figures
        for folder in FIGURES:
            os.utime(results / "figures" / folder, (when, when))
        os.utime(curve, (when * when - 1, when * when - 1))
        assert described.figures() == results / expected
    assert [file.name for file in (results / "report/figures/curves").iterdir()] == ["3-losses.png"]
    assert len(list((results / "figures/curves").iterdir())) == 1


# Cost


def test_the_table_of_cost_has_means_over_seeds_and_sums_over_steps():
    rows = [
        ("train_cam", "cam", 0, 60.0, 1024),
        ("train_cam", "cam", 1, 180.0, 2048),
        ("evaluate", "cam", 0, 30.0, 512),
        ("evaluate", "recam", 0, 1200.0, 512),
    ]
    steps = pd.DataFrame(rows, columns=["step", "method", "random_seed", "seconds", "max_rss"])
    table = cost_table(steps)
    assert table.head == ["step", "CAM", "ReCAM", "peak memory, GiB"]
    assert table.rows == [
        ["train_cam", "2.0", "-", "2.0"],
        ["evaluate", "0.5", "20", "0.5"],
        ["all", "2.5", "20", "2.0"],
    ]
    assert cost_table(steps[:0]) is None
