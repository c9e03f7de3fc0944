"""The page in a browser: it fits a phone, obeys the keyboard, loads without faults, and prints."""

import shutil

import pytest
from explorer_runs import write_data
from explorer_runs import write_run as write_maps_of
from page_runs import experiment, write_figures, write_run

from recam.report.page.page import write_page
from recam.report.summary import Run

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium")

PHONE, DESK = 420, 1400
WIDTH = "document.documentElement.scrollWidth"
LONG = "cam-averylongnameofareadout"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """The page of a run with an explorer, figures, many methods and unfinished ones."""
    folder = tmp_path_factory.mktemp("page")
    results = folder / "results"
    write_data(folder)
    for method in ("cam", "recam"):
        write_maps_of(folder, method)
    mious = {"cams": 40.0, "pseudo": 50.0, "seg": 60.0}
    for seed in (1, 2):
        for method in ("cam", "recam", LONG, "supervised"):
            found = {"seg": 70.0} if method == "supervised" else mious
            write_run(results, method, seed=seed, mious=found)
    write_figures(results)
    runs = [Run(folder=run) for run in sorted(results.glob("seed*/*"))]
    write_page(experiment(folder, runs), folder / "page.html")
    return (folder / "page.html").as_uri()


@pytest.fixture(scope="module")
def browser():
    """Chromium without a window."""
    with playwright.sync_playwright() as started:
        chromium = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def opened(browser, address):
    """Open the page, and fail on a message in the console, an error, or a request."""
    faults = []

    def opens(width, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page.on("console", lambda message: faults.append(message.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        requests = []
        page.goto(address)
        page.wait_for_load_state()
        assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [address]
        return page

    yield opens
    assert faults == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone(opened, scheme):
    page = opened(PHONE, scheme)
    assert page.evaluate(WIDTH) <= PHONE
    page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true; })")
    assert page.evaluate(WIDTH) <= PHONE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_with_the_page(opened, scheme):
    page = opened(DESK, scheme)
    assert page.evaluate(WIDTH) <= DESK
    for selector in ("h1", "h1 span", ".facts", ".reason", "nav a", "caption", ".light.ok"):
        assert contrast(page, selector) >= 4.5, selector


def contrast(page, selector):
    """The contrast ratio of an element's text with the page (WCAG 2)."""
    colours = page.evaluate(
        """selector => {
          const context = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
          const rgb = colour => {
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
            return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
          };
          const style = getComputedStyle(document.querySelector(selector));
          return [rgb(style.color), rgb(getComputedStyle(document.body).backgroundColor)];
        }""",
        selector,
    )
    lights = sorted(map(luminance, colours))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def luminance(rgb):
    """Relative luminance of sRGB (WCAG 2), 0 to 1."""
    linear = [
        value / 255 / 12.92 if value <= 10 else ((value / 255 + 0.055) / 1.055) ** 2.4
        for value in rgb
    ]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_a_figure_is_enlarged_and_closed_by_keyboard(opened):
    page = opened(DESK)
    button = page.locator("#maps button.enlarge").first
    button.focus()
    page.keyboard.press("Enter")
    enlarged = page.locator("dialog img")
    enlarged.wait_for(state="visible")
    assert enlarged.get_attribute("alt") == button.locator("img").get_attribute("alt")
    page.keyboard.press("Escape")
    enlarged.wait_for(state="hidden")


def test_the_first_key_skips_to_the_answer(opened):
    page = opened(DESK)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the answer"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "answer"


def test_the_contents_stay_in_sight_and_mark_the_section(opened):
    page = opened(DESK)
    page.locator("nav a[href='#curves']").click()
    page.locator("nav a[href='#curves'][aria-current]").wait_for()
    assert page.locator("nav").bounding_box()["y"] >= 0
    assert page.locator("#curves h2").bounding_box()["y"] < 200


def test_all_parts_are_printed(opened):
    page = opened(DESK)
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("details:not([open])").count() == 0
    assert not page.locator("nav").is_visible()
    assert page.locator("#provenance pre").is_visible()
