"""Run the notebooks of the pages and keep their outputs: `python docs/run_notebooks.py`.

The quick start runs the experiment of this checkout first, if it is not finished.
"""

from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).parent / "notebooks"


def main() -> None:
    """Run every notebook in its folder and write it."""
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        print(path.name)
        book = nbformat.read(path, as_version=4)
        place = {"metadata": {"path": str(path.parent)}}
        NotebookClient(book, timeout=None, resources=place, record_timing=False).execute()
        for cell in book.cells:
            _keep_results(cell)
        book.metadata["language_info"] = {"name": "python", "pygments_lexer": "ipython3"}
        path.write_text(nbformat.writes(book) + "\n", encoding="utf-8")


def _keep_results(cell: NotebookNode) -> None:
    """Drop warnings of the machine, and the text beside a picture."""
    if cell.cell_type != "code":
        return
    cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    for output in cell.outputs:
        if "image/jpeg" in output.get("data", {}):
            output.data.pop("text/plain", None)
        if output.output_type == "stream":
            output.text = output.text.replace("\r\n", "\n")


if __name__ == "__main__":
    main()
