"""The Python blocks of docs/python.md run in their order, as one program, on tiny networks."""

import re
from pathlib import Path

import numpy as np
from PIL import Image
from tiny_networks import write_classifier, write_segmenter

PAGE = Path(__file__).parents[2] / "docs/python.md"


def test_the_blocks_of_the_page_run_in_order(tmp_path, monkeypatch, capsys):
    write_segmenter(tmp_path / "segmenter.pt", scales=(1.0, 0.5))
    write_classifier(tmp_path / "classifier.pt")
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8)
    for name in ("photo.jpg", "other.png"):
        Image.fromarray(noise).save(tmp_path / name)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 8
    monkeypatch.chdir(tmp_path)
    names = {}
    for block in blocks:
        exec(compile(block, PAGE.name, "exec"), names)  # noqa: S102 the project's own page
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("cat: probability 0.")
    assert printed[1].startswith("model: expected logits that are a linear layer")
    written = {path.name for path in tmp_path.iterdir()}
    assert written >= {"mask.png", "overlay.png", "cams.png", "reactivated.pt"}
    assert np.abs(names["after"] - names["before"]).max() > 1e-3
