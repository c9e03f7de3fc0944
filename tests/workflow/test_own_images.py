"""The whole experiment on a folder of the user: images, a table of labels, and no masks."""

import json
import re
import shutil

import experiment
import numpy as np
import pytest
import yaml
from experiment import dvc, snakemake
from PIL import Image

from recam.io.images import read_image, read_mask
from recam.report.details import metrics_of

NUM_IMAGES = 16
UNUSUAL = {"p05": ("RGB", (1, 1)), "p06": ("L", (40, 30)), "p07": ("CMYK", (40, 30))}
TURNED = "p03"
LABELS = ("cat", "dog", "cat;dog", "cat")


def write_photos(folder):
    """Photographs of several sizes, grey, CMYK, rotated by EXIF, and one of a single pixel."""
    (folder / "JPEGImages").mkdir(parents=True)
    generator = np.random.default_rng(0)
    rows = ["id,labels"]
    for number in range(NUM_IMAGES):
        name = f"p{number:02d}"
        mode, size = UNUSUAL.get(name, ("RGB", (80, 60)))
        noise = generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)
        exif = Image.Exif()
        exif[274] = 6 if name == TURNED else 1
        image = Image.fromarray(noise).resize(size).convert(mode)
        image.save(folder / f"JPEGImages/{name}.jpg", exif=exif)
        rows.append(f"{name}.jpg,{LABELS[number % 4] if number < 15 else ''}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")


def own_params():
    """The small experiment on ``photos``."""
    params = experiment.small_params() | {"methods": ["recam"]}
    params["download"] = {"dataset": "folder", "source": "photos", "longest_side": 64}
    params["evaluate"] |= {"seg_split": "train"}
    return params


def make(folder):
    """Run the experiment there; every step starts a new interpreter, as for a user."""
    folder.mkdir()
    write_photos(folder / "photos")
    experiment.set_up(folder, own_params())
    command = ["snakemake", "--cores", "2"]
    run = experiment.finished_process(folder, command, experiment.environment())
    if run.returncode:
        raise RuntimeError(run.stdout)
    (folder / "said.txt").write_text(run.stdout)


@pytest.fixture(scope="session")
def own(made_once):
    """The finished experiment; read-only."""
    return made_once("own", make)


@pytest.fixture
def tree(own, tmp_path):
    """A copy of the finished experiment, for a test to change."""
    return experiment.copied(own, tmp_path / "experiment")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_image_gets_masks_of_its_size(own):
    ids = {f"p{number:02d}" for number in range(NUM_IMAGES)}
    for folder in ("pseudo", "predictions"):
        masks = own / f"results/seed0/recam/{folder}"
        assert {file.stem for file in masks.glob("*.png")} == ids
        for image in (own / "data/JPEGImages").glob("p*"):
            mask = read_mask(masks / f"{image.stem}.png")
            assert mask.shape == read_image(image).shape[:2]


def test_large_and_turned_photographs_are_shrunk_and_upright(own):
    sizes = {p.stem: read_image(p).shape[:2] for p in (own / "data/JPEGImages").glob("p*")}
    assert sizes["p00"] == (48, 64)
    assert sizes[TURNED] == (64, 48)
    assert sizes["p05"] == (1, 1)
    assert sizes["p06"] == (30, 40)


def test_nothing_is_scored_and_the_summary_says_so(own):
    assert json.loads((own / "results/metrics.json").read_text()) == {}
    details = metrics_of(own / "results/details.csv")
    assert details["cams"]["recam"]["images"] == 0
    assert "miou" not in details["cams"]["recam"]
    summary = (own / "results/summary.md").read_text()
    assert "no ground truth" in summary
    assert "nan" not in summary.lower()
    assert (own / "results/picture.png").is_file()


def test_warnings_are_reported_and_do_not_stop_the_run(own):
    report = (own / "data/check/report.md").read_text()
    assert report.startswith("No errors, ")
    assert "JPEGImages/p05.jpg" in report
    log = (own / "logs/download.log").read_text()
    assert "warning: fewer than 20 images of a class; add images, or leave the class out: " in log
    assert "(cat 11, dog 8, of 16 images)" in log
    assert "data/check/report.md has the details" in log


def test_small_photographs_give_a_warning_before_the_first_step(own):
    said = (own / "said.txt").read_text()
    warning = said.index("warning: make_cams.scales: 16 of 16 images")
    assert warning < said.index("download: No errors, ")
    assert "warning: evaluate.seg_split: no image of train has ground truth" in said


def test_the_originals_stay_as_they_are_and_dvc_copies_none(own, tmp_path):
    write_photos(tmp_path / "photos")
    assert contents(own / "photos") == contents(tmp_path / "photos")
    link = own / "data/JPEGImages/p06.jpg"
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    cached = {p.read_bytes() for p in (own / ".dvc/cache").rglob("*") if p.is_file()}
    assert not cached.intersection(contents(own / "photos/JPEGImages").values())


def test_both_engines_have_nothing_to_do(own):
    checked = (own / "logs/.source").stat()
    assert "Nothing to be done" in snakemake(own, "--dry-run").stdout
    assert (own / "logs/.source").stat() == checked  # the folder was not checked again
    assert "up to date" in dvc(own, "status").stdout


def test_dvc_links_the_images_again_and_trains_nothing(tree):
    shutil.rmtree(tree / "data/JPEGImages")
    run = dvc(tree, "repro")
    assert run.returncode == 0, run.stdout
    assert re.findall(r"Running stage '([\w-]+)'", run.stdout) == ["download"]
    assert (tree / "data/JPEGImages/p06.jpg").is_symlink()
    assert "up to date" in dvc(tree, "status").stdout


def edit_an_image(tree):
    Image.new("RGB", (40, 30)).save(tree / "photos/JPEGImages/p06.jpg")


def edit_a_label(tree):
    path = tree / "photos/labels.csv"
    path.write_text(path.read_text().replace("p00.jpg,cat", "p00.jpg,dog"))


@pytest.mark.parametrize("change", [edit_an_image, edit_a_label])
def test_a_change_of_the_folder_is_seen_by_both_engines(tree, change):
    change(tree)
    key = (tree / "logs/.source").read_text()
    plan = snakemake(tree, "--dry-run").stdout
    assert (tree / "logs/.source").read_text() != key
    assert re.search("^download +1$", plan, re.MULTILINE)
    assert re.search("^train_cam +1$", plan, re.MULTILINE)
    assert "download:" in dvc(tree, "status").stdout
    assert "not up to date: download" in experiment.engines(tree, "record").stdout


def test_a_table_that_is_put_back_leaves_nothing_to_do(tree):
    path = tree / "photos/labels.csv"
    text = path.read_text()
    path.unlink()
    path.write_text(text)
    assert "Nothing to be done" in snakemake(tree, "--dry-run").stdout


def test_a_typo_in_the_table_is_reported_before_anything_is_deleted(tree):
    path = tree / "photos/labels.csv"
    path.write_text(path.read_text().replace("p00.jpg", "p0O.jpg"))
    before = contents(tree / "data")
    run = snakemake(tree)
    assert run.returncode != 0
    assert "labels.csv: no image file for p0O (1 of 16 rows have none)" in run.stdout
    assert "Traceback" not in run.stdout
    assert contents(tree / "data") == before


def test_a_folder_of_the_user_can_be_checked_by_itself(own, tmp_path):
    script = own / "workflow/scripts/check_data.py"
    params = own_params() | {"methods": ["supervised"]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    words = ["--data", own / "photos", "--report", tmp_path / "report", "--params"]
    checked = experiment.command(own, "python", script, *words, tmp_path / "params.yaml")
    assert checked.returncode == 0
    assert "No errors, " in checked.stdout
    assert "- error, which stops a run: methods: supervised needs ground truth" in checked.stdout
    assert (tmp_path / "report/classes.csv").is_file()
    assert not list((own / "photos").glob("classes.txt"))


def test_invalid_data_stop_the_run_with_messages_and_leave_the_results(tree):
    image = tree / "photos/JPEGImages/p01.jpg"
    image.write_bytes(image.read_bytes()[:-300])
    before = contents(tree / "results")
    run = snakemake(tree)
    assert run.returncode != 0
    assert "JPEGImages/p01" in run.stdout
    assert "JPEGImages/p01.jpg: the image cannot be read" in run.stdout
    assert "data/rejected/report.md lists all faults" in run.stdout
    assert "Traceback" not in run.stdout
    assert "p01" in (tree / "data/rejected/faults.csv").read_text()
    assert contents(tree / "results") == before


def test_a_folder_that_is_not_there_is_named(tree):
    (tree / "photos").rename(tree / "pictures")
    run = snakemake(tree, "--dry-run")
    assert run.returncode != 0
    assert (
        "download: source: expected auto or the path of a folder, got photos, which does"
        in run.stdout
    )
    assert "Traceback" not in run.stdout


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"methods": ["recam", "supervised"]}, "each of the 16 images of train_seg.split (train)"),
        ({"evaluate": experiment.small_params()["evaluate"]}, "evaluate.seg_split: expected a spl"),
    ],
)
def test_numbers_that_contradict_the_folder_are_refused_before_any_step(tmp_path, changed, message):
    experiment.set_up(tmp_path, own_params() | changed)
    write_photos(tmp_path / "photos")
    run = snakemake(tmp_path)
    assert run.returncode != 0
    assert message in run.stdout
    assert "Traceback" not in run.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("place", ["data", "data/photos"])
def test_images_in_the_folder_that_is_rewritten_are_refused(tmp_path, place):
    experiment.set_up(tmp_path, own_params() | {"download": {"dataset": "folder", "source": place}})
    write_photos(tmp_path / place)
    run = snakemake(tmp_path)
    assert run.returncode != 0
    assert "is in the folder data, which is rewritten; move your files elsewhere" in run.stdout
    assert (tmp_path / place / "JPEGImages/p00.jpg").is_file()
