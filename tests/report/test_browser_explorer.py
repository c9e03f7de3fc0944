"""The explorer in a browser: what it draws and writes are the masks and numbers of Python."""

import re
import shutil

import numpy as np
import pytest
from explorer_runs import CUTS, MARGIN, SIZES, write_data, write_experiment, write_maps, write_run

from recam.core.labels import IGNORE, banded_mask, display_colours, seed_mask
from recam.core.metrics import confusion_matrix, iou_per_class, miou
from recam.io.images import read_mask
from recam.io.scores import SCORE_STEPS, load_scores
from recam.report.explorer import explorer_html

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")

DOCUMENT = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title>'
    '<meta name="viewport" content="width=device-width"></head><body>{}</body></html>'
)
PIXELS = """canvas => {
  const {width, height} = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
  copy.drawImage(canvas, 0, 0);
  return [...copy.getImageData(0, 0, width, height).data];
}"""
ABSENT, MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
METHODS = ("cam", "recam")
NUM_IDS = 4


def document(folder, methods=METHODS):
    """A page with the explorer of the runs in ``folder``."""
    html = explorer_html(folder, random_seed=0, methods=methods)
    (folder / "page.html").write_text(DOCUMENT.format(html))
    return folder / "page.html"


class Explorer:
    """The page of a folder of runs, as a reader uses it."""

    def __init__(self, page, folder):
        self.page, self.folder = page, folder
        page.goto(document(folder).as_uri())
        self.wait()

    def wait(self):
        """Until the image is drawn."""
        self.page.locator(".x-panels[aria-busy=false]").wait_for()

    def part(self, name):
        return self.page.locator(f"[data-part={name}]")

    def method(self, number):
        return self.page.locator("[data-part=method]").nth(number)

    def slide(self, number, steps):
        self.method(number).locator("input[type=range]").fill(str(steps))

    def choose(self, image_id):
        self.page.locator(f"[name=explorer-image][value={image_id}]").check(force=True)
        self.wait()

    def stage(self, name):
        self.page.locator(f"[name=explorer-stage][value={name}]").check(force=True)
        self.wait()

    @property
    def image_id(self):
        return self.part("name").inner_text().split(",")[0]

    def mask(self, figure):
        """The ids that the colours of a canvas stand for."""
        colours = display_colours(NUM_IDS - 1)
        height, width = SIZES[self.image_id]
        pixels = np.array(figure.locator("canvas").evaluate(PIXELS)).reshape(height, width, 4)
        assert set(np.unique(pixels[..., 3])) <= {0, 255}
        mask = np.zeros((height, width), np.uint8)
        for mask_id in (1, 2, 3, IGNORE):
            mask[(pixels == [*colours[mask_id], 255]).all(axis=2)] = mask_id
        assert ((mask > 0) == (pixels[..., 3] > 0)).all()
        return mask

    def scored(self, method, stage):
        return load_scores(self.folder / f"results/seed0/{method}/{stage}/{self.image_id}.npz")

    def truth(self):
        return read_mask(self.folder / f"data/SegmentationClass/{self.image_id}.png")

    def table(self):
        """The texts of the cells of each row, by the name of the row."""
        rows = self.page.locator(".x-table tbody tr").all()
        return {
            row.locator("th").inner_text().strip(): row.locator("td").all_inner_texts()
            for row in rows
        }


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def open_page(browser):
    """A page that fails the test of any word on its console."""
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.set_default_timeout(20_000)
    words = []
    page.on("console", lambda message: words.append(message.text))
    page.on("pageerror", lambda error: words.append(str(error)))
    page.on("request", lambda request: words.append(request.url[:200]))
    return page, words


@pytest.fixture
def page(open_page):
    page, words = open_page
    words.clear()
    yield page
    others = [w for w in words if not re.match(r"file:///.*/page\.html$|data:image/jpeg;", w)]
    assert not others


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write_experiment(tmp_path_factory.mktemp("explorer"), METHODS)


@pytest.fixture
def explorer(page, runs):
    return Explorer(page, runs)


def test_masks_and_numbers_are_those_of_python_at_every_threshold(explorer):
    for image_id, stage in (("a", "cams"), ("b", "scores"), ("d", "cams")):
        explorer.stage(stage)
        explorer.choose(image_id)
        truth = explorer.truth()
        assert (explorer.mask(explorer.part("truth")) == truth).all()
        for steps in (0, 60, 90, 91, 200):
            explorer.slide(0, steps)
            masks = []
            for number, method in enumerate(METHODS):
                scored = explorer.scored(method, stage)
                mask = seed_mask(scored.scores, scored.classes, threshold=steps / SCORE_STEPS)
                assert (explorer.mask(explorer.method(number)) == mask).all()
                confusion = confusion_matrix(truth, mask, num_ids=NUM_IDS)
                masks.append([100 * miou(confusion), *(100 * iou_per_class(confusion))])
                result = explorer.method(number).locator(".x-result").inner_text()
                assert float(result.split()[1]) == pytest.approx(masks[-1][0], abs=0.06)
            table = explorer.table()
            for name, *values in zip(
                ("mean", "background", "cat", "dog", "hen"), *masks, strict=True
            ):
                shown = [float("nan") if c == ABSENT else float(c) for c in table[name][:2]]
                assert shown == pytest.approx(values, abs=0.06, nan_ok=True)


def test_masks_begin_at_the_cut_and_the_band_is_that_of_the_pseudo_masks(explorer):
    for stage, cut in CUTS.items():
        explorer.stage(stage)
        explorer.choose("c")
        scored = explorer.scored("recam", stage)
        mask = seed_mask(scored.scores, scored.classes, threshold=cut)
        assert (explorer.mask(explorer.method(1)) == mask).all()
    explorer.part("band").check()
    scored, cut = explorer.scored("recam", "scores"), CUTS["scores"]
    low, high = cut - MARGIN, cut + MARGIN
    banded = banded_mask(scored.scores, scored.classes, background=low, foreground=high)
    assert (banded == IGNORE).any()
    assert (explorer.mask(explorer.method(1)) == banded).all()


def test_sliders_move_together_or_alone_and_go_back_to_cut_and_oracle(explorer):
    values = [explorer.method(number).locator("output") for number in (0, 1)]
    before = [explorer.mask(explorer.method(number)) for number in (0, 1)]
    explorer.slide(0, 130)
    assert [value.inner_text() for value in values] == ["0.65", "0.65"]
    assert all(
        (explorer.mask(explorer.method(number)) != before[number]).any() for number in (0, 1)
    )
    explorer.part("linked").uncheck()
    explorer.slide(1, 131)
    assert [value.inner_text() for value in values] == ["0.65", "0.655"]
    explorer.method(1).locator("[data-jump=cut]").click()
    assert [value.inner_text() for value in values] == ["0.65", "0.40"]
    button = explorer.method(0).locator("[data-jump=oracle]")
    button.click()
    assert button.inner_text() == f"oracle {values[0].inner_text()}"


def test_a_hidden_class_is_not_drawn_but_counts(explorer):
    masks = [explorer.mask(explorer.method(number)) for number in (0, 1)]
    numbers = explorer.table()
    explorer.page.get_by_role("checkbox", name="cat").press("Space")
    for number, mask in enumerate(masks):
        assert (explorer.mask(explorer.method(number)) == np.where(mask == 1, 0, mask)).all()
    assert explorer.table() == numbers
    box = explorer.page.get_by_role("checkbox", name="cat")
    assert box.evaluate("box => box === document.activeElement")
    box.press("Space")
    assert (explorer.mask(explorer.method(0)) == masks[0]).all()


def test_the_gallery_is_sorted_and_obeys_the_keyboard(explorer):
    gains = explorer.page.locator(".x-number").all_inner_texts()
    numbers = [float(text.replace(MINUS, "-")) for text in gains]
    assert numbers == sorted(numbers, reverse=True)
    names = explorer.page.locator("[name=explorer-image]").evaluate_all(
        "inputs => inputs.map(input => input.value)"
    )
    explorer.page.locator("[name=explorer-image]").first.focus()
    explorer.page.keyboard.press("ArrowRight")
    explorer.wait()
    assert explorer.image_id == names[1]
    assert (explorer.mask(explorer.part("truth")) == explorer.truth()).all()
    explorer.part("order").select_option("loss")
    assert explorer.page.locator(".x-number").all_inner_texts() == gains[::-1]
    explorer.part("order").select_option("class")
    assert explorer.page.locator(".x-number").all_inner_texts() == ["cat"] * len(SIZES)


def test_a_pixel_shows_its_scores_under_pointer_and_arrow_keys(explorer):
    stack = explorer.method(0).locator(".x-stack")
    height, width = SIZES[explorer.image_id]
    box = stack.bounding_box()
    at = {"x": box["width"] * 4.5 / width, "y": box["height"] * 6.5 / height}
    stack.hover(position=at)
    stack.focus()
    explorer.page.keyboard.press("ArrowDown")
    scored = explorer.scored("cam", "scores")
    readout = explorer.method(0).locator(".x-readout").inner_text()
    found = dict(re.findall(r"(cat|hen) ([0-9.]+)", readout))
    values = scored.scores[:, 7, 4]
    assert [float(found["cat"]), float(found["hen"])] == pytest.approx(values, abs=1e-6)
    assert explorer.part("image").locator(".x-readout").inner_text() == "x 4, y 7"


def test_a_narrow_page_does_not_scroll_sideways(explorer):
    for scheme in ("dark", "light"):
        explorer.page.emulate_media(color_scheme=scheme)
        explorer.page.set_viewport_size({"width": 420, "height": 800})
        widths = explorer.page.evaluate(
            "[document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert widths[0] <= widths[1] == 420
    explorer.page.set_viewport_size({"width": 1400, "height": 900})


def test_one_method_without_ground_truth_shows_shares(page, tmp_path):
    write_data(tmp_path, with_truth=False)
    write_run(tmp_path, "cam")
    explorer = Explorer(page, tmp_path)
    assert not explorer.part("truth").is_visible()
    assert explorer.method(0).locator(".x-result").inner_text() == ""
    mask = explorer.mask(explorer.method(0))
    for name, mask_id in (("background", 0), ("cat", 1), ("hen", 3)):
        share = 100 * (mask == mask_id).mean()
        assert float(explorer.table()[name][0]) == pytest.approx(share, abs=0.06)


def test_a_method_without_scores_has_cams_only_and_no_cut(page, tmp_path):
    write_data(tmp_path)
    write_run(tmp_path, "cam")
    write_maps(tmp_path, "recam", "cams")
    explorer = Explorer(page, tmp_path)
    result, cut = (explorer.method(1).locator(name) for name in (".x-result", "[data-jump=cut]"))
    assert "mIoU" in result.inner_text()
    scored = explorer.scored("recam", "cams")
    mask = seed_mask(scored.scores, scored.classes, threshold=0.5)
    assert (explorer.mask(explorer.method(1)) == mask).all()
    assert not cut.is_visible()
    explorer.stage("scores")
    assert result.inner_text() == "No maps of this image yet."


def test_names_are_text_and_maps_that_are_not_made_yet_are_left_out(page, tmp_path):
    names = ("<img src=x onerror=alert(1)>", "</script><b>bold</b>", "hen")
    write_data(tmp_path, classes=names)
    write_maps(tmp_path, "cam", "cams", sizes={"a": SIZES["a"]}, indices=(0, 1))
    write_maps(tmp_path, "recam", "cams", sizes={"b": SIZES["b"]}, indices=())
    explorer = Explorer(page, tmp_path)
    explorer.choose("a")
    assert {*names[:2], "background"} <= set(explorer.table())
    results = [explorer.method(number).locator(".x-result").inner_text() for number in (0, 1)]
    assert "mIoU" in results[0]
    assert results[1] == "No maps of this image yet."
    explorer.choose("b")
    assert not explorer.mask(explorer.method(1)).any()
