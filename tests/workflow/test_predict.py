"""Commands for masks and ONNX files: their output and their errors."""

import json
import logging
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jaxtyping
import numpy as np
import onnxruntime
import pytest
import torch
from PIL import Image
from timm.layers.conv2d_same import Conv2dSame
from torch import nn

from recam import export, predict
from recam.catalogue.segmenters import load_segmenter, make_segmenter
from recam.io.checkpoints import ModelConfig, load_checkpoint, save_checkpoint
from recam.io.images import read_image, read_mask
from recam.models.backbones import Backbone, backbone_of
from recam.models.deeplabv2 import DeepLabV2
from recam.models.segmenters import Segmenter, resized
from recam.pipeline.inference import averaged_maps
from recam.pipeline.onnx_files import export as export_onnx
from recam.pipeline.prediction_numbers import PredictionNumbers

CLASSES = ("cat", "guinea pig", "dog, wet")
PARAMS = Path(__file__).parents[2] / "params.yaml"


def model_config(method="deeplab", backbone="resnet18"):
    return ModelConfig(
        method=method,
        backbone=backbone,
        output_stride=16,
        classes=CLASSES,
        frozen_batch_norm=False,
        frozen_stem=False,
        rates=(1, 2),
    )


def untrained(backbone="resnet18"):
    """A segmenter whose weights and statistics are drawn, so that its masks have all classes."""
    torch.manual_seed(0)
    model = make_segmenter(model_config(backbone=backbone))
    with torch.no_grad():
        model.train()
        for _ in range(3):
            model.maps(torch.randn(4, 3, 48, 48))
        model.classifier.weight.mul_(20)
    return model.eval()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "segmenter.pt"
    save_checkpoint(path, untrained().state_dict(), model_config())
    return path


@pytest.fixture(autouse=True)
def _restored_logs():
    handlers, level = logging.getLogger().handlers[:], logging.getLogger("recam").level
    yield
    logging.getLogger().handlers[:] = handlers
    logging.getLogger("recam").setLevel(level)


@pytest.fixture
def folder(tmp_path):
    """Five images of three sizes, smooth noise."""
    generator = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name, size in {
        "a.png": (40, 30),
        "b.jpg": (30, 40),
        "c.png": (40, 30),
        "d.JPEG": (40, 30),
        "e.png": (90, 60),
    }.items():
        small = generator.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize(size).save(tmp_path / "in" / name)
    return tmp_path / "in"


@pytest.fixture
def run(checkpoint, tmp_path, capsys):
    """Predict into tmp_path/out; return the exit code and the lines of stderr."""

    def call(*arguments, **options):
        options = {
            "checkpoint": checkpoint,
            "out": tmp_path / "out",
            "device": "cpu",
            "threads": 1,
            "scales": 1,
        } | options
        given = {name: value for name, value in options.items() if value is not None}
        pairs = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        code = predict.main([*map(str, arguments), *pairs])
        return code, capsys.readouterr().err.splitlines()

    return call


def snapshot(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def expected_mask(path, checkpoint):
    """The mask of one image by the network alone."""
    model, _ = load_segmenter(checkpoint)
    pixels = torch.from_numpy(read_image(path)).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        images = backbone_of(model).normalise(pixels)
        return averaged_maps(model.maps, images, scales=(1.0,))[0].argmax(dim=0).numpy()


def test_a_folder_of_images_becomes_masks_overlays_and_a_table(run, folder, checkpoint, tmp_path):
    before = snapshot(folder)
    code, said = run(folder)
    out = tmp_path / "out"
    assert (code, said) == (0, [f"5 of 5 masks written to {out}"])
    names = {f"{letter}.png" for letter in "abcde"}
    tables = {"classes.csv", "labelmap.txt", "default.txt"}
    assert {p.name for p in out.iterdir()} == names | tables | {"overlays"}
    assert {p.name for p in (out / "overlays").iterdir()} == names
    for path in sorted(folder.iterdir()):
        mask = read_mask(out / f"{path.stem}.png")
        # Batches may change the last bits of a probability, and so a pixel where two draw level.
        assert (mask == expected_mask(path, checkpoint)).mean() > 0.99
        assert len(np.unique(mask)) > 1
    assert snapshot(folder) == before


def test_masks_of_rotated_photographs_are_upright(run, folder, tmp_path, checkpoint):
    with Image.open(folder / "a.png") as image:
        upright = image.copy()
    exif = Image.Exif()
    exif[274] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert run(tmp_path / "turned.png")[0] == 0
    mask = read_mask(tmp_path / "out/turned.png")
    assert mask.shape == (upright.height, upright.width)
    assert (mask == expected_mask(folder / "a.png", checkpoint)).mean() > 0.99


@pytest.mark.parametrize("suffix", [".webp", ".bmp", ".TIF", ".Tiff", ".gif", ".Jpg", ".jfif"])
def test_images_of_every_usual_ending_are_found(run, tmp_path, suffix):
    (tmp_path / "in").mkdir()
    Image.new("RGB", (40, 30)).save(tmp_path / f"in/a{suffix}")
    assert run(tmp_path / "in")[0] == 0
    assert read_mask(tmp_path / "out/a.png").shape == (30, 40)


def test_files_that_are_not_read_and_conversions_are_named(run, folder):
    for name in ("._a.png", ".DS_Store", "f.heic", "notes.txt"):
        (folder / name).write_bytes(b"")
    Image.new("RGBA", (40, 30)).save(folder / "e.png")
    _, said = run(folder)
    assert [line.rpartition(f"{folder}/")[2] for line in said[:-1]] == [
        "._a.png, and 1 more",
        "f.heic, and 1 more",
        "e.png",
    ]
    assert said[-1].startswith("5 of 5 masks written")


def test_a_single_pixel_and_a_line_of_pixels_get_masks(run, tmp_path):
    for name, size in {"pixel": (1, 1), "line": (700, 1), "mast": (1, 700)}.items():
        Image.new("RGB", size).save(tmp_path / f"{name}.png")
        assert run(tmp_path / f"{name}.png")[0] == 0
        assert read_mask(tmp_path / f"out/{name}.png").shape == size[::-1]


def test_the_table_names_values_and_the_colours_of_masks(run, folder, tmp_path):
    run(folder / "a.png")
    assert (tmp_path / "out/classes.csv").read_text() == (
        "value,class,colour\n0,background,#000000\n1,cat,#e69f00\n2,guinea pig,#56b4e9\n"
        '3,"dog, wet",#009e73\n'
    )
    with Image.open(tmp_path / "out/a.png") as image:
        assert image.mode == "P"
        assert image.getpalette()[3:12] == [230, 159, 0, 86, 180, 233, 0, 158, 115]


def test_a_folder_of_masks_has_the_lists_of_cvat(run, folder, tmp_path):
    assert run(folder / "b.jpg")[0] == run(folder / "a.png")[0] == 0  # one after the other
    assert (tmp_path / "out/default.txt").read_text().split() == ["a", "b"]
    assert (tmp_path / "out/labelmap.txt").read_text().splitlines()[1:3] == [
        "background:0,0,0::",
        "cat:230,159,0::",
    ]


def test_a_large_image_is_shown_small_and_keeps_its_mask_large(run, tmp_path):
    Image.new("RGB", (2048, 100), "red").save(tmp_path / "wide.png")
    assert run(tmp_path / "wide.png", longest_side=64)[0] == 0
    assert read_mask(tmp_path / "out/wide.png").shape == (100, 2048)
    with Image.open(tmp_path / "out/overlays/wide.png") as shown:
        assert shown.width == 1024


def test_the_network_sees_images_as_large_as_it_was_trained_with(checkpoint, tmp_path, folder):
    tensors, described = load_checkpoint(checkpoint)
    trained = tmp_path / "trained.pt"
    save_checkpoint(trained, tensors, replace(described, longest_side=20))
    made = []
    for out, file, more in (
        ("default", trained, []),
        ("20", checkpoint, ["--longest_side", "20"]),
        ("40", trained, ["--longest_side", "40"]),
    ):
        words = [str(folder / "a.png"), "--checkpoint", str(file), "--out", str(tmp_path / out)]
        assert predict.main([*words, *more]) == 0
        made.append(read_mask(tmp_path / out / "a.png"))
    assert (made[0] == made[1]).all()
    assert (made[0] != made[2]).any()


def test_the_crf_changes_masks(run, folder, tmp_path):
    run(folder / "e.png")
    run(folder / "e.png", crf=PARAMS, out=tmp_path / "crf")
    plain, fitted = (read_mask(tmp_path / name / "e.png") for name in ("out", "crf"))
    assert plain.shape == fitted.shape
    assert (plain != fitted).any()


def test_numbers_of_the_crf_that_do_not_fit_are_named(run, folder, tmp_path):
    path = tmp_path / "numbers.yaml"
    text = PARAMS.read_text(encoding="utf-8").replace("crf_srgb: 3\n", "crf_srgb: 0\n")
    path.write_text(text, encoding="utf-8")
    line = text.splitlines().index("  crf_srgb: 0") + 1
    code, (said,) = run(folder / "e.png", crf=path)
    assert code == 1
    assert said.startswith(f"{path}:{line}: evaluate.crf_srgb: expected more than 0")
    assert not (tmp_path / "out").exists()


def test_broken_images_are_named_and_the_others_done(run, folder, tmp_path):
    (folder / "a.png").write_text("no image")
    cut = folder / "d.JPEG"
    cut.write_bytes(cut.read_bytes()[:-200])  # its head is whole
    code, said = run(folder)
    assert code == 1
    assert len(said) == 3
    assert said[0].startswith(f"{folder / 'a.png'}: not a readable image")
    assert said[1].startswith(f"{cut}: not a readable image")
    assert said[2].startswith("3 of 5 masks written")
    assert {p.stem for p in (tmp_path / "out").glob("*.png")} == set("bce")


def test_a_second_run_replaces_the_masks_of_the_first(run, folder, tmp_path):
    run(folder)
    first = snapshot(tmp_path / "out")
    (tmp_path / "out/a.png").unlink()
    (tmp_path / "out/b.png").write_bytes(b"")
    assert run(folder)[0] == 0
    assert snapshot(tmp_path / "out") == first


def test_masks_of_an_earlier_run_are_kept_and_not_counted(run, folder, tmp_path):
    run(folder)
    (tmp_path / "out/default.txt").unlink()  # lists all masks, also the new one
    before = snapshot(tmp_path / "out")
    Image.new("RGB", (9, 7), "red").save(tmp_path / "f.png")
    assert run(tmp_path / "f.png") == (0, [f"1 of 1 masks written to {tmp_path / 'out'}"])
    after = snapshot(tmp_path / "out")
    assert before.items() <= after.items()
    assert {p.name for p in after.keys() - before.keys()} == {"f.png", "default.txt"}
    assert (tmp_path / "out/default.txt").read_text().split() == list("abcdef")


def test_an_image_given_twice_is_done_once(run, folder, tmp_path):
    code, said = run(folder, folder / "a.png", folder / "../in/a.png")
    assert (code, said) == (0, [f"5 of 5 masks written to {tmp_path / 'out'}"])


def test_masks_of_a_pattern_keep_their_folders(run, tmp_path):
    names = ["a/frame1", "b/frame2", "b/frame10", "frame3"]
    for name in names:
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30)).save(tmp_path / f"in/{name}.jpg")
    assert run(tmp_path / "in/**/*.jpg")[0] == 0
    for folder in (tmp_path / "out", tmp_path / "out/overlays"):
        assert all((folder / f"{name}.png").is_file() for name in names)


def test_numbers_beside_the_checkpoint_are_used_unless_others_are_given(
    run, folder, checkpoint, tmp_path
):
    beside = tmp_path / "trained/segmenter.pt"
    beside.parent.mkdir()
    shutil.copy(checkpoint, beside)
    PredictionNumbers(scales=(0.5,), longest_side=90).write(beside.with_name("prediction.json"))
    made = []
    for out, numbers in {
        "beside": {"checkpoint": beside, "scales": None},
        "given": {"scales": 0.5},
        "other": {"checkpoint": beside, "scales": 1},
    }.items():
        assert run(folder / "e.png", out=tmp_path / out, **numbers)[0] == 0
        made.append(read_mask(tmp_path / out / "e.png"))
    assert (made[0] == made[1]).all()
    assert (made[0] != made[2]).any()


class TestRefusals:
    """Each is one sentence, and changes no file."""

    @pytest.fixture
    def refused(self, run, tmp_path):
        def check(*arguments, words, **options):
            before = snapshot(tmp_path)
            code, said = run(*arguments, **options)
            assert (code, len(said)) == (1, 1), said
            assert words in said[0]
            assert snapshot(tmp_path) == before

        return check

    def test_two_images_of_one_name(self, refused, folder):
        shutil.copy(folder / "a.png", folder / "a.jpg")
        refused(folder, words="both masks would be a.png; rename one")

    def test_masks_into_the_folder_of_images(self, refused, folder):
        refused(folder, out=folder, words="expected a new or empty folder")

    def test_masks_over_masks_of_other_classes(self, refused, run, folder, tmp_path):
        run(folder)
        table = tmp_path / "out/classes.csv"
        table.write_text(table.read_text().replace("cat", "cow"))
        refused(folder, words="or one with masks of the same classes; choose another --out")

    def test_masks_over_the_masks_they_are_made_of(self, refused, run, folder, tmp_path):
        run(folder / "a.png")
        refused(tmp_path / "out/a.png", words="a mask would overwrite this image")
        refused(tmp_path / "out/overlays", words="a mask would overwrite this image")

    def test_nothing_there(self, refused, tmp_path):
        refused(tmp_path / "nowhere", words="nowhere: not found; pass images, folders")

    def test_a_folder_without_images(self, refused, tmp_path):
        (tmp_path / "empty").mkdir()
        (tmp_path / "empty/._a.png").write_text("a Mac's note")
        refused(tmp_path / "empty", words="empty: expected images ending in .jpg")

    def test_a_video(self, refused, tmp_path):
        (tmp_path / "clip.MP4").write_bytes(b"")
        words = "clip.MP4: expected an image, got a video; make images of one: ffmpeg -i clip.mp4"
        refused(tmp_path / "clip.MP4", words=words)

    def test_masks_in_the_place_of_overlays(self, refused, folder):
        shutil.copytree(folder, folder / "overlays")
        words = "masks would stand in overlays/, which holds the overlays; rename the sub-folder"
        refused(folder / "*/*.png", words=words)

    def test_damaged_numbers_beside_the_checkpoint(self, refused, folder, checkpoint, tmp_path):
        shutil.copy(checkpoint, tmp_path / "c.pt")
        (tmp_path / "prediction.json").write_text('{"scales": [9]}')
        words = "prediction.json: scales.0: Input should be less than or equal to 4, got 9"
        refused(folder, checkpoint=tmp_path / "c.pt", words=words)

    def test_no_checkpoint(self, refused, folder):
        refused(folder, checkpoint="nowhere.pt", words="nowhere.pt: not found")

    def test_a_picture_as_checkpoint(self, refused, folder):
        refused(folder, checkpoint=folder / "a.png", words="got another kind of file")

    def test_a_classifier_as_checkpoint(self, refused, folder, tmp_path):
        described = model_config(method="cam")
        save_checkpoint(tmp_path / "c.pt", {"weight": torch.zeros(1)}, described)
        words = "expected a segmenter, got a network of method cam; give a segmenter.pt"
        refused(folder, checkpoint=tmp_path / "c.pt", words=words)

    def test_tensors_of_another_network(self, refused, folder, checkpoint, tmp_path):
        tensors, described = load_checkpoint(checkpoint)
        tensors.pop("classifier.bias")
        save_checkpoint(tmp_path / "c.pt", tensors, described)
        refused(folder, checkpoint=tmp_path / "c.pt", words="do not fit the network")

    def test_a_file_in_the_place_of_the_folder(self, refused, folder, tmp_path):
        (tmp_path / "out").write_text("mine")
        refused(folder, words=", then run again")

    def test_onnx_of_a_classifier(self, tmp_path, capsys):
        described = model_config(method="cam")
        save_checkpoint(tmp_path / "c.pt", {"weight": torch.zeros(1)}, described)
        before = snapshot(tmp_path)
        paths = ["--checkpoint", str(tmp_path / "c.pt"), "--onnx", str(tmp_path / "c.onnx")]
        assert export.main(paths) == 1
        (said,) = capsys.readouterr().err.splitlines()
        assert "expected a segmenter, got a network of method cam" in said
        assert snapshot(tmp_path) == before

    def test_onnx_without_its_packages(self, checkpoint, tmp_path, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxscript", None)
        paths = ["--checkpoint", str(checkpoint), "--onnx", str(tmp_path / "s.onnx")]
        assert export.main(paths) == 1
        (said,) = capsys.readouterr().err.splitlines()
        assert said == (
            "recam export needs the package onnxscript, which is not installed; "
            "run pip install 'recam[onnx]'"
        )

    @pytest.mark.parametrize(
        ("option", "value", "words"),
        [
            ("--scales", "0", "expected a number above 0, at most 4, got 0"),
            ("--scales", "nan", "expected a number above 0, at most 4, got nan"),
            ("--scales", "1e9", "expected a number above 0, at most 4, got 1e9"),
            ("--batch_size", "0", "expected a whole number of at least 1, got 0"),
            ("--longest_side", "x", "expected a whole number of at least 1, got x"),
        ],
    )
    def test_numbers_out_of_range(self, run, folder, capsys, option, value, words):
        with pytest.raises(SystemExit) as stop:
            run(folder, option, value)
        assert stop.value.code == 2
        assert words in capsys.readouterr().err


def test_the_command_line_itself(checkpoint, folder, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "recam.predict", "--checkpoint", checkpoint, folder / "a.png"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout) == (0, "")
    note, counted = done.stderr.splitlines()
    assert note == (
        f"note: one scale, 1.0, is used, as no prediction.json lies beside {checkpoint}; copy it "
        "from the folder of the experiment, where evaluate writes it, or set --scales"
    )
    assert counted == "1 of 1 masks written to masks"
    assert read_mask(tmp_path / "masks/a.png").shape == (30, 40)


@pytest.fixture
def _unchecked():
    """The exporter traces with sizes that are symbols, which checks of types do not know."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def column(values):
    """Red, green and blue as a tensor that broadcasts over images."""
    return torch.tensor(values)[:, None, None]


def assert_same_probabilities(path, segmenter, *, mean, std):
    session = onnxruntime.InferenceSession(path.read_bytes())
    generator = torch.Generator().manual_seed(1)
    for shape in [(1, 3, 65, 97), (3, 3, 64, 32), (2, 3, 127, 50)]:
        pixels = torch.rand(shape, generator=generator)
        with torch.inference_mode():
            maps = segmenter.maps((pixels - column(mean)) / column(std))
            expected = resized(maps, shape[2:]).numpy()
        (given,) = session.run(None, {"pixels": pixels.numpy()})
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-4)
        assert np.ptp(given) > 0.1  # something to compare
    return session


@pytest.mark.slow
@pytest.mark.usefixtures("_unchecked")
def test_onnx_agrees_with_pytorch_at_any_size(tmp_path, capfd):
    path, checkpoint = tmp_path / "new/s.onnx", tmp_path / "segmenter.pt"
    lite = "tf_efficientnet_lite0"  # of the default, whose paddings depend on the image's size
    save_checkpoint(checkpoint, untrained(lite).state_dict(), model_config(backbone=lite))
    assert export.main(["--checkpoint", str(checkpoint), "--onnx", str(path)]) == 0
    heard = capfd.readouterr()
    assert heard.out == ""
    (said,) = heard.err.splitlines()
    assert said.startswith(f"{path}: ")
    assert [p.name for p in path.parent.iterdir()] == ["s.onnx"]
    segmenter, _ = load_segmenter(checkpoint)
    mean, std = segmenter.backbone.mean, segmenter.backbone.std
    session = assert_same_probabilities(path, segmenter, mean=mean, std=std)
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("pixels", ["batch", 3, "height", "width"])
    assert (made.name, made.shape) == ("probabilities", ["batch", 4, "height", "width"])
    names = json.loads(session.get_modelmeta().custom_metadata_map["classes"])
    assert names == ["background", *CLASSES]


class SameBackbone(Backbone):
    """Two layers padded as TensorFlow pads, of strides 2 and 4."""

    mean, std = (0.5, 0.4, 0.3), (0.2, 0.3, 0.5)

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            Conv2dSame(3, 4, 3, stride=2), nn.ReLU(), Conv2dSame(4, 4, 5, stride=4, groups=2)
        )

    def with_skip(self, images):
        features = self.layers(images)
        return features, features

    def levels(self, images):
        return list(self.with_skip(images))

    def freeze_stem(self):
        pass


class SameSegmenter(Segmenter):
    def __init__(self):
        super().__init__()
        self.backbone = SameBackbone()

    def logits(self, images):
        return 5 * self.backbone(images)


@pytest.mark.usefixtures("_unchecked")
@pytest.mark.parametrize("kind", ["padding of TensorFlow", "deeplabv2", "linear on tokens"])
def test_every_kind_of_segmenter_is_exported(tmp_path, kind):
    torch.manual_seed(0)
    if kind == "deeplabv2":
        segmenter = DeepLabV2(SameBackbone(), channels=4, num_ids=4, rates=(1, 2)).eval()
        for branch in segmenter.branches:
            torch.nn.init.normal_(branch.weight)
    elif kind == "linear on tokens":
        segmenter = make_segmenter(model_config("linear", "test_vit")).eval()
        torch.nn.init.normal_(segmenter.classifier.weight)
    else:
        segmenter = SameSegmenter().eval()
    path = tmp_path / "s.onnx"
    export_onnx(path, segmenter, CLASSES)
    backbone = segmenter.backbone
    assert_same_probabilities(path, segmenter, mean=backbone.mean, std=backbone.std)
