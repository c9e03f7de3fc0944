"""Files of the project itself after bit rot, bad copies and edits: each is read by one step."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml
from contents import OF_CHECKPOINTS, OF_JSON, OF_MAPS, TRACE
from damage import OF_BYTES
from numbers_of_steps import words_of
from trial import Scene, Trial

RUN = "results/seed0/cam"


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A step that reads a file of the finished run, and what it makes, by its command line."""

    step: str
    words: str
    made: tuple[str, ...]


READERS = {
    "classifier.pt": Reader(
        step="make_cams",
        words="--data data --checkpoint {run}/classifier.pt --cams {run}/cams --manifest"
        " {run}/cams.sha256 --method cam",
        made=("cams.sha256",),
    ),
    "segmenter.pt": Reader(
        step="evaluate",
        words="--data data --truth data/SegmentationClass --checkpoint {run}/segmenter.pt"
        " --classifier {run}/classifier.pt --cams {run}/cams --scores {run}/scores"
        " --cut {run}/cut.json --pseudo {run}/pseudo --predictions {run}/predictions"
        " --manifest {run}/predictions.sha256 --metrics {run}/metrics.json --plots"
        " {run}/per_class.csv {run}/thresholds.csv {run}/confusion.csv --counts {run}/counts.csv"
        " --signs {run}/signs.json --prediction {run}/prediction.json",
        made=("predictions.sha256", "metrics.json", "counts.csv", "signs.json", "prediction.json"),
    ),
    "cams": Reader(
        step="make_pseudo",
        words="--data data --cams {run}/cams --irn {run}/irn.pt --masks {run}/pseudo --scores"
        " {run}/scores --manifest {run}/pseudo.sha256 {run}/scores.sha256 --cut {run}/cut.json"
        " --picture {run}/pseudo.png",
        made=("pseudo.sha256", "scores.sha256", "cut.json"),
    ),
}
TRAININGS = {
    "train_cam": Reader(
        step="train_cam",
        words="--data data --checkpoint {run}/classifier.pt --curve {run}/classifier_curve.csv"
        " --method cam --random_seed 0",
        made=("classifier.pt", "classifier_curve.csv"),
    ),
    "train_seg": Reader(
        step="train_seg",
        words="--data data --masks {run}/pseudo --classifier {run}/classifier.pt --checkpoint"
        " {run}/segmenter.pt --curve {run}/segmenter_curve.csv --random_seed 0",
        made=("segmenter.pt", "segmenter_curve.csv"),
    ),
}
BY_STEP = {reader.step: reader for reader in READERS.values()} | TRAININGS


def checkpoint(scene: Scene) -> Trial:
    """A damaged or foreign checkpoint, read by make_cams, evaluate or predict."""
    name = scene.random.choice(["classifier.pt", "segmenter.pt"])
    run = copied_run(scene)
    about, mutate = scene.random.choice(list(OF_BYTES.items()) + list(OF_CHECKPOINTS.items()))
    accepted = mutate(scene, run / name)
    if name == "segmenter.pt" and scene.random.random() < 0.5:
        return _prediction(scene, about, accepted)
    return _step(scene, READERS[name], f"{name}: {about}", (name,), accepted)


def maps(scene: Scene) -> Trial:
    """A damaged file of score maps, read by make_pseudo or evaluate."""
    folder, reader = scene.random.choice([("cams", "cams"), ("scores", "segmenter.pt")])
    run = copied_run(scene)
    file = scene.random.choice(sorted((run / folder).glob("*.npz")))
    about, mutate = scene.random.choice(list(OF_BYTES.items()) + list(OF_MAPS.items()))
    accepted = mutate(scene, file)
    names = (file.stem, folder)
    return _step(scene, READERS[reader], f"{folder}/*.npz: {about}", names, accepted)


def masks(scene: Scene) -> Trial:
    """A damaged pseudo mask, read by evaluate (signs) or train_seg."""
    run = copied_run(scene)
    file = scene.random.choice(sorted((run / "pseudo").glob("*.png")))
    about, mutate = scene.random.choice(list(OF_BYTES.items()))
    accepted = mutate(scene, file)
    names = (file.stem, "pseudo")
    return _step(scene, READERS["segmenter.pt"], f"pseudo/*.png: {about}", names, accepted)


def cut(scene: Scene) -> Trial:
    """A damaged cut.json, read by evaluate."""
    run = copied_run(scene)
    about, mutate = scene.random.choice(list(OF_BYTES.items()) + list(OF_JSON.items()))
    accepted = mutate(scene, run / "cut.json")
    return _step(scene, READERS["segmenter.pt"], f"cut.json: {about}", ("cut.json",), accepted)


def _step(
    scene: Scene, reader: Reader, about: str, names: tuple[str, ...], accepted: bool | None
) -> Trial:
    run = scene.folder / RUN
    meant = {name: (run / name).read_bytes() for name in reader.made}
    for name in reader.made:
        if name.endswith(".json") and name not in about:
            (run / name).unlink(missing_ok=True)

    def right(folder: Path, output: str) -> str:
        if (folder / TRACE).exists():
            return "the file ran code"
        changed = [name for name in reader.made if (run / name).read_bytes() != meant[name]]
        return f"other {', '.join(changed)} than from the intact file" if changed else ""

    return Trial(
        about=f"{reader.step} reads {about}",
        program=reader.step,
        words=words_for(scene, reader),
        names=names,
        right=right,
        accepted=accepted,
    )


def words_for(scene: Scene, reader: Reader) -> tuple[str, ...]:
    """The command line of a step on the run in the trial's folder."""
    numbers = yaml.safe_load((scene.finished / "params.yaml").read_text())
    section = numbers[reader.step]
    machine = {k: v for k, v in numbers["machine"].items() if k not in (*section, "shards")}
    words = reader.words.format(run=RUN).split()
    return (*words, *words_of(machine), *words_of(section))


def _prediction(scene: Scene, about: str, accepted: bool | None) -> Trial:
    images = sorted((scene.finished / "data/JPEGImages").glob("val_*"))
    run = scene.finished / RUN

    def right(folder: Path, output: str) -> str:
        if (folder / TRACE).exists():
            return "the file ran code"
        made = [(folder / f"masks/{i.stem}.png").read_bytes() for i in images]
        meant = [(run / f"predictions/{i.stem}.png").read_bytes() for i in images]
        return "" if made == meant else "other masks than from the intact file"

    return Trial(
        about=f"predict reads segmenter.pt: {about}",
        program="predict",
        words=(*map(str, images), "--checkpoint", f"{RUN}/segmenter.pt", "--threads", "1"),
        names=("segmenter.pt",),
        right=right,
        accepted=accepted,
    )


def copied_run(scene: Scene) -> Path:
    """The run of CAM in the trial's folder: hard links, so a mutation replaces its file."""
    (scene.folder / "data").symlink_to(scene.finished / "data")
    run = scene.folder / RUN
    shutil.copytree(
        scene.finished / RUN,
        run,
        copy_function=os.link,
        ignore=shutil.ignore_patterns(".*"),  # a lock holds for all links of its file
    )
    return run
