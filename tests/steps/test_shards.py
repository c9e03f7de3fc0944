"""Steps in shards: the bytes of one job, with any number of them and after a kill."""

import gc
import runpy
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
import yaml
from experiment import ROOT
from PIL import Image
from pydantic import BaseModel
from together import model_config_of, settle, write_noise

from recam.catalogue.methods import make_classifier
from recam.catalogue.segmenters import make_segmenter
from recam.core.errors import UserError
from recam.io.atomic import write_manifest
from recam.io.checkpoints import save_checkpoint
from recam.io.resumable import ResumableFolder
from recam.io.scores import ScoredClasses, save_scores
from recam.models.initialisation import seeded_initialisation
from recam.pipeline.histograms import total_histogram, write_histogram
from recam.pipeline.pseudo_masks import score_histogram
from recam.runtime.distributed import batches_left
from recam.runtime.loading import end_loading
from recam.runtime.parts import Part
from recam.steps.paths import declared_paths
from recam.steps.refinement import Folders
from recam.steps.shards import Shard

IMAGES, BATCHES = 8, 3
CLASSES = ("cat", "dog")
SMALL = {
    "method": "cam",
    "random_seed": 0,
    "device": "cpu",
    "precision": "fp32",
    "backbone": "test_resnet",
    "weights": "none",
    "scales": [1.0],
    "batch_size": 3,
    "epochs": 1,
    "radius": 2,
    "irn_radius": 2,
    "irn_steps": 4,
    "crf_iterations": 1,
    "foreground": 0.5,
    "certainty": 0.05,
    "resize_min": 24,
    "resize_max": 32,
    "crop": 24,
    "refiner": "irn+crf",
    "crf": True,
    "seg_split": "train",
    "examples": 2,
    "agreement_images": 2,
}
# Steps by the names of the folders that their shards fill, in the order of the graph.
STEPS = {
    "cams": "make_cams",
    "irn_masks": "train_irn",
    "spread": "make_pseudo",
    "pseudo": "make_pseudo",
    "predictions": "evaluate",
}
FILES = {  # of a method's folder, by the options of the scripts
    "cams": "cams",
    "irn": "irn.pt",
    "classifier": "classifier.pt",
    "masks": "pseudo",
    "scores": "scores",
    "pseudo": "pseudo",
    "cut": "cut.json",
    "picture": "pseudo.png",
    "predictions": "predictions",
    "prediction": "prediction.json",
    "metrics": "metrics.json",
    "counts": "counts.csv",
    "signs": "signs.json",
}


def save_networks(folder):
    """A classifier and a segmenter with settled statistics."""
    for name, make, kind in (
        ("classifier.pt", make_classifier, "cam"),
        ("segmenter.pt", make_segmenter, "deeplabv2"),
    ):
        config = replace(model_config_of(kind, CLASSES), backbone=SMALL["backbone"])
        with seeded_initialisation(0, kind):
            model = make(config)
            settle(model)
        save_checkpoint(folder / name, model.state_dict(), config)


class Experiment:
    """The steps of one run, in this process."""

    def __init__(self, data, folder, monkeypatch):
        self.monkeypatch, self.folder = monkeypatch, folder
        self.params = yaml.safe_load((ROOT / "params.yaml").read_text())
        folder.mkdir(parents=True)
        save_networks(folder)
        manifests = [folder / f"{name}.sha256" for name in ("pseudo", "scores")]
        tables = [folder / f"{name}.csv" for name in ("per_class", "thresholds", "confusion")]
        self.paths = {name: folder / file for name, file in FILES.items()}
        self.paths |= {"data": data, "truth": data / "SegmentationClass"}
        self.of_step = {
            "make_cams": {"manifest": folder / "cams.sha256"},
            "train_irn": {"checkpoint": folder / "irn.pt", "curve": folder / "irn_curve.csv"},
            "make_pseudo": {"manifest": manifests},
            "evaluate": {
                "checkpoint": folder / "segmenter.pt",
                "manifest": folder / "predictions.sha256",
                "plots": tables,
            },
        }

    def job(self, step, stamp=None):
        """Run a step, or its shard with this stamp."""
        script = str(ROOT / f"workflow/scripts/{step}.py")
        self.monkeypatch.setattr(sys, "argv", [script])
        self.monkeypatch.syspath_prepend(str(Path(script).parent))
        main = runpy.run_path(script)["main"]
        gc.enable()  # the script has stopped it
        end_loading()
        numbers = self.params["machine"] | self.params["make_pseudo"] | self.params[step]
        numbers |= {"method": "cam", "random_seed": 0} | SMALL
        paths = self.paths | {"checkpoint": self.paths["classifier"]} | self.of_step[step]
        paths |= {"shard": self.folder / "shards" / stamp if stamp else None}
        groups = {}
        for name, kind in get_type_hints(main).items():
            if issubclass(kind, BaseModel):
                groups[name] = kind(**{key: numbers[key] for key in kind.model_fields})
            elif kind is not type(None):
                known = [field.name for field in declared_paths(kind)]
                groups[name] = kind(**{key: paths.get(key) for key in known})
        main(**groups)

    def all(self, shards):
        """Run every step with that many shards."""
        for name, step in STEPS.items():
            if shards > 1:
                for number in range(1, min(shards, BATCHES) + 1):  # others have no batch
                    self.job(step, f"{name}.{number}-of-{shards}")
            if name != "spread":
                self.job(step)

    def content(self):
        """The bytes of every output by name, without stamps and states of training."""
        found = (file for file in self.folder.rglob("*") if file.is_file())
        files = [file for file in found if not file.name.endswith(".last.pt")]
        names = {file.relative_to(self.folder): file for file in files}
        return {
            name: file.read_bytes() for name, file in names.items() if name.parts[0] != "shards"
        }


@pytest.fixture
def data(tmp_path):
    """Eight noisy images of 30 x 24 pixels, a sixteenth of the CRF's pairs of 60 x 48."""
    write_noise(tmp_path / "data")
    for file in tmp_path.glob("data/*/*.png"):
        with Image.open(file) as image:
            image.crop((15, 0, 45, 24)).save(file)
    write_manifest(tmp_path / "data/images.sha256", [tmp_path / "data/JPEGImages"])
    return tmp_path / "data"


@pytest.fixture
def experiment(data, tmp_path, monkeypatch):
    """A function that begins a run in a folder of that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RECAM_SHARDS", "1")
    return lambda name: Experiment(Path("data"), tmp_path / name, monkeypatch)


def test_any_number_of_shards_makes_the_bytes_of_one_job(experiment, monkeypatch):
    """Two shards, and more than there are images: each batch is then a shard of its own."""
    found = {}
    for shards in (1, 2, IMAGES + 1):
        monkeypatch.setenv("RECAM_SHARDS", str(shards))
        run = experiment(f"of_{shards}")
        run.all(shards)
        found[shards] = run.content()
        left = sorted(path.name for path in run.folder.glob("shards/*"))
        numbers = range(1, min(shards, BATCHES) + 1) if shards > 1 else []
        assert left == sorted(f"{name}.{k}-of-{shards}" for name in STEPS for k in numbers)
    alone = found[1]
    assert {Path("cams/7.npz"), Path("pseudo/7.png"), Path("predictions/7.png")} <= alone.keys()
    assert {Path("irn.pt"), Path("scores.sha256"), Path("predictions.sha256")} <= alone.keys()
    for shards, content in found.items():
        assert content.keys() == alone.keys()
        assert [name for name in alone if content[name] != alone[name]] == [], shards


def test_the_last_job_moves_the_files_of_shards(experiment):
    """Three shards, and a fourth without a batch."""
    whole, run = experiment("whole"), experiment("run")
    whole.job("make_cams")
    for stamp in ("1-of-3", "2-of-3", "3-of-3", "4-of-4"):
        run.job("make_cams", f"cams.{stamp}")
    shards = run.folder / "shards"
    assert list((shards / ".cams.4-of-4.partial").glob("*.npz")) == []
    made_by = {file.name: file.stat().st_ino for file in shards.glob(".cams.*.partial/*.npz")}
    assert len(made_by) == IMAGES
    run.job("make_cams")
    assert {file.name: file.stat().st_ino for file in run.paths["cams"].iterdir()} == made_by
    assert run.content() == whole.content()


def test_a_killed_shard_goes_on_and_the_others_stay(experiment):
    whole = experiment("whole")
    whole.job("make_cams")
    run = experiment("run")
    for number in (1, 2):
        run.job("make_cams", f"cams.{number}-of-2")
    shards = run.folder / "shards"
    first = shards / ".cams.1-of-2.partial"
    assert sorted(file.name for file in first.glob("*.npz")) == [
        f"{i}.npz" for i in (0, 1, 2, 6, 7)
    ]
    # As after a kill: no stamp, no list, one batch unfinished, and a file cut in the middle.
    (shards / "cams.1-of-2").unlink()
    (shards / ".cams.1-of-2.sha256").unlink()
    (first / "1.npz").write_bytes((first / "1.npz").read_bytes()[:-300])
    times = {file: file.stat().st_mtime_ns for file in shards.rglob("*.npz")}
    run.job("make_cams", "cams.1-of-2")
    again = {file for file, time in times.items() if file.stat().st_mtime_ns != time}
    assert again == {first / f"{number}.npz" for number in (0, 1, 2)}
    run.job("make_cams")
    assert run.paths["cams"].with_name("cams.sha256").read_bytes() == (
        whole.paths["cams"].with_name("cams.sha256").read_bytes()
    )


def test_what_a_shard_lacks_or_has_damaged_the_last_job_makes(experiment, caplog):
    whole = experiment("whole")
    whole.job("make_cams")
    run = experiment("run")
    run.job("make_cams", "cams.1-of-3")
    run.job("make_cams", "cams.2-of-2")  # of another number, which was given up
    damaged = run.folder / "shards/.cams.1-of-3.partial/0.npz"
    damaged.write_bytes(b"x" + damaged.read_bytes())
    run.job("make_cams")
    assert "0.npz is not as its shard wrote it; it is made anew" in caplog.text
    assert run.content() == whole.content()
    assert list((run.folder / "shards").iterdir()) == []  # stamps of numbers that are not chosen


def test_files_of_other_numbers_are_not_taken(experiment):
    run = experiment("run")
    run.job("make_cams", "cams.1-of-2")
    place = run.folder / "shards/.cams.1-of-2.partial"
    (place / ".key").write_text("of other numbers")
    (place / "0.npz").write_bytes(b"other maps")
    run.job("make_cams")
    assert (run.paths["cams"] / "0.npz").read_bytes() != b"other maps"


@pytest.mark.parametrize("name", ["cams", "cams.0-of-2", "cams.3-of-2", "cams.a-of-2"])
def test_a_stamp_of_another_name_is_refused(name):
    with pytest.raises(UserError, match=r"--shard: expected a name such as cams\.2-of-4"):
        _ = Shard(shard=Path("shards", name)).part


def test_a_part_has_every_nth_batch_and_leaves_out_finished_ones():
    def left(part, *done):
        return batches_left(
            range(7),
            lambda items: [list(items[i : i + 2]) for i in range(0, 7, 2)],
            is_done=lambda item: item in done,
            part=part,
        )

    assert left(Part(number=1, of=2)) == [[0, 1], [4, 5]]
    assert left(Part(number=2, of=2)) == [[2, 3], [6]]
    assert left(Part(number=2, of=2), 2, 6) == [[2, 3]]  # a batch is made whole
    assert left(Part(number=5, of=5)) == []
    assert left(Part(), *range(7)) == []


def test_histograms_of_shards_add_up_and_count_each_file_once(tmp_path):
    generator = np.random.default_rng(0)
    files = [tmp_path / f"{place}/{number}.npz" for place, number in ("a0", "a1", "b2", "c3")]
    for file in files:
        scores = generator.random((1, 4, 4), dtype=np.float32)
        save_scores(file, ScoredClasses(scores=scores, classes=np.array([0])))
    write_histogram(tmp_path / "a", files[:2])
    write_histogram(tmp_path / "b", files[1:3])  # has a file of the other, so it is left out
    found = total_histogram(files, [tmp_path / name for name in "abc"])
    assert found.tolist() == score_histogram(files).tolist()
    assert found.sum() == 4 * 16


def test_a_mask_without_its_scores_is_not_done_and_maps_of_all_shards_are_found(tmp_path):
    own, scores, masks, other = (
        ResumableFolder(tmp_path / name, key="k") for name in ("own", "scores", "masks", "other")
    )
    folders = Folders(
        cams=tmp_path, propagated=own, scores=scores, masks=masks, of_shards=[other.partial]
    )
    (masks.partial / "a.png").touch()
    assert not folders.is_cut("a")
    (scores.partial / "a.npz").touch()
    assert folders.is_cut("a")
    for folder, name in ((own, "a"), (other, "a"), (other, "b")):
        (folder.partial / f"{name}.npz").touch()
    assert folders.maps() == {"a.npz": own.partial / "a.npz", "b.npz": other.partial / "b.npz"}
