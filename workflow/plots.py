"""Draw DVC's plots into a page that needs no network: results/plots/index.html.

Without arguments it draws the plots of the workspace, as `dvc plots show`. Commits, branches or
experiments as arguments are compared, as by `dvc plots diff`. DVC's own page loads its drawing
library, Vega, from the network; this page contains it, from the package vl-convert-python.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

OUT = Path("results/plots")
VEGA_LITE = "5.20"  # the templates in .dvc/plots are of version 5
PACKAGE = "vl-convert-python"
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>ReCAM: plots</title>
<style>
body { font-family: sans-serif; margin: 1.5rem; color: #111; background: #fff; }
img { max-width: 100%%; }
</style>
<script>
(() => {
%s
})();
</script>
</head>
<body>
{plot_divs}
</body>
</html>
"""


class PlotsError(Exception):
    """DVC failed, or the package of Vega is missing; the message is one sentence."""


def template() -> str:
    """DVC's template of a page, with Vega, Vega-Lite and Vega-Embed in it (1 MB)."""
    try:
        import vl_convert  # noqa: PLC0415 # optional
    except ImportError:
        raise PlotsError(
            f"plots: expected the package {PACKAGE}, which contains Vega; run `pip install"
            f" {PACKAGE}`, then again"
        ) from None
    return PAGE % vl_convert.javascript_bundle(vl_version=VEGA_LITE)  # pyright: ignore[reportCallIssue] default missing in its stub


def draw(revisions: list[str]) -> Path:
    """Write the page of the workspace, or of revisions side by side; return its path."""
    page = OUT / "index.html"
    page.unlink(missing_ok=True)  # DVC writes none where it finds no plots
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "template.html")
        file.write_text(template(), encoding="utf-8")
        verb = ["diff", *revisions] if revisions else ["show"]
        words = ["plots", *verb, "--out", str(OUT), "--html-template", str(file)]
        run = subprocess.run(  # noqa: S603
            [sys.executable, "-m", "dvc", *words], capture_output=True, text=True, check=False
        )
    if run.returncode or not page.is_file():
        lines = [line for line in run.stderr.splitlines() if line.strip()] or ["no plots found"]
        raise PlotsError(f"`dvc plots {verb[0]}` failed: {lines[-1].removeprefix('ERROR: ')}")
    return page


if __name__ == "__main__":
    try:
        print(f"{draw(sys.argv[1:])}: open it in a browser; it needs no network")  # noqa: T201
    except PlotsError as error:
        sys.exit(str(error))
