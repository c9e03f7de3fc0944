"""The numbers of published results in presets, each against a table with its source."""

from pathlib import Path

import pytest

from recam.steps.params import merged
from recam.steps.yaml_files import read_params

ROOT = Path(__file__).parents[2]
CODE = "the authors' public code, last commit (Chen et al., CVPR 2022)"
IRN = "IRN's public code, which the authors' code contains (Ahn et al., CVPR 2019)"
DEEPLAB = "the usual public recipe of DeepLabV2 (Chen et al., TPAMI 2018)"
ADVCAM = "AdvCAM's public code (Lee, Kim & Yoon, CVPR 2021)"
LPCAM = "LPCAM's public code (Chen & Sun, CVPR 2023)"
DINO = "DINOv2 (Oquab et al., TMLR 2024)"
WECLIP = "WeCLIP (Zhang et al., CVPR 2024)"
SWIN = "Swin (Liu et al., ICCV 2021)"
CLIP = "CLIP-ES and its public code (Lin et al., CVPR 2023)"
EDAM = "EDAM's public code (Wu et al., CVPR 2021)"
SEAM = "the authors' public code of SEAM, for VOC (Wang et al., CVPR 2020)"
MCTFORMER = "MCTformer's public code (Xu et al., CVPR 2022, TPAMI 2024)"
NONE = "switches off an addition of this project"
OURS = "our choice"
# VOC, COCO, source. Learning rates, momentum and thresholds are those in effect.
PUBLISHED = {
    ("machine", "precision"): ("fp32", "fp32", CODE),
    ("download", "dataset"): ("voc12", "coco14", CODE),
    ("download", "coco_masks"): (None, "published", CODE),
    ("train_cam", "epochs"): (5, 5, CODE),
    ("train_cam", "batch_size"): (16, 16, CODE),
    ("train_cam", "lr"): (0.1, 0.1, CODE),
    ("train_cam", "lr_classifier"): (1.0, 1.0, CODE),
    ("train_cam", "seam_scale"): (0.3, 0.3, SEAM),
    ("train_cam", "seam_weight"): (1.0, 1.0, SEAM),
    ("train_cam", "seam_pcm"): (True, True, SEAM),
    ("train_cam", "momentum"): (0.0001, 0.0001, CODE),
    ("train_cam", "weight_decay"): (0.0001, 0.0001, CODE),
    ("train_cam", "crop"): (512, 512, CODE),
    ("train_cam", "held_out"): (0, 0, NONE),
    ("train_cam", "min_steps"): (0, 0, NONE),
    ("train_cam", "colour"): (0, 0, NONE),
    ("train_cam", "split"): ("train_aug", "train_all", CODE),
    ("train_cam", "resize_min"): (320, 320, CODE),
    ("train_cam", "resize_max"): (640, 640, CODE),
    ("train_cam", "backbone"): ("resnet50", "resnet50", CODE),
    ("train_cam", "weights"): ("imagenet", "imagenet", CODE),
    ("train_cam", "output_stride"): (16, 16, CODE),
    ("train_cam", "frozen_batch_norm"): (True, True, CODE),
    ("train_cam", "frozen_stem"): (True, True, CODE),
    ("train_recam", "held_out"): (0, 0, NONE),
    ("train_recam", "min_steps"): (0, 0, NONE),
    ("train_recam", "colour"): (0, 0, NONE),
    ("train_recam", "warmup_steps"): (0, 0, NONE),
    ("train_recam", "epochs"): (4, 4, CODE),
    ("train_recam", "batch_size"): (16, 6, CODE),
    ("train_recam", "lr"): (5e-05, 5e-05, CODE),
    ("train_recam", "lr_reclassifier"): (0.0005, 0.0005, CODE),
    ("train_recam", "momentum"): (0.0001, 0.0001, CODE),
    ("train_recam", "weight"): (1.0, 0.1, CODE),
    ("train_recam", "split"): ("train_aug", "train_all", CODE),
    ("train_recam", "resize_min"): (320, 320, CODE),
    ("train_recam", "resize_max"): (640, 640, CODE),
    ("train_recam", "weight_decay"): (0.0001, 0.0001, CODE),
    ("train_recam", "crop"): (512, 512, CODE),
    ("make_clusters", "split"): ("train", "train_all", LPCAM),
    ("make_clusters", "clusters"): (12, 12, LPCAM),
    ("make_clusters", "foreground"): (0.1, 0.1, LPCAM),
    ("make_clusters", "judge"): ("classifier", "classifier", LPCAM),
    ("make_clusters", "judged_foreground"): (0.9, 0.9, LPCAM),
    ("make_clusters", "context_min"): (0.05, 0.05, LPCAM),
    ("make_clusters", "context_max"): (0.9, 0.9, LPCAM),
    ("make_clusters", "images"): (400, 82783, OURS),
    ("make_cams", "scales"): ([1.0, 0.5, 1.5, 2.0], [1.0, 0.5, 1.5, 2.0], CODE),
    ("make_cams", "combine"): ("product", "classifier", CODE),
    ("make_cams", "split"): ("train_aug", "train_all", CODE),
    ("make_cams", "geometry"): ("published", "published", CODE),
    ("train_irn", "foreground"): (0.35, 0.35, CODE),
    ("train_irn", "background"): (0.1, 0.1, CODE),
    ("train_irn", "certainty"): (0.7, 0.7, IRN),
    ("train_irn", "crf_iterations"): (10, 10, IRN),
    ("train_irn", "crf_sxy"): (50, 50, IRN),
    ("train_irn", "crf_srgb"): (5, 5, IRN),
    ("train_irn", "crf_weight"): (10, 10, IRN),
    ("train_irn", "crf_smooth_sxy"): (3, 3, IRN),
    ("train_irn", "crf_smooth_weight"): (3, 3, IRN),
    ("train_irn", "radius"): (10, 10, IRN),
    ("train_irn", "epochs"): (3, 3, IRN),
    ("train_irn", "batch_size"): (32, 32, IRN),
    ("train_irn", "lr_edges"): (0.1, 0.1, IRN),
    ("train_irn", "lr_displacements"): (1.0, 1.0, IRN),
    ("train_irn", "momentum"): (0.0001, 0.0001, CODE),
    ("train_irn", "crop"): (512, 512, IRN),
    ("train_irn", "split"): ("train_aug", "train_all", CODE),
    ("train_irn", "backbone"): ("resnet50", "resnet50", IRN),
    ("train_irn", "weights"): ("imagenet", "imagenet", IRN),
    ("train_irn", "output_stride"): (16, 16, CODE),
    ("train_irn", "weight_decay"): (0.0001, 0.0001, IRN),
    ("train_irn", "resize_unit"): ("percent", "percent", IRN),
    ("train_irn", "resize_min"): (50, 50, IRN),
    ("train_irn", "resize_max"): (150, 150, IRN),
    ("make_pseudo", "refiner"): ("irn", "irn", CODE),
    ("make_pseudo", "threshold"): ("fixed", "fixed", CODE),
    ("make_pseudo", "irn_background"): (0.28, 0.25, CODE),
    ("make_pseudo", "irn_radius"): (5, 5, IRN),
    ("make_pseudo", "irn_power"): (10, 10, IRN),
    ("make_pseudo", "irn_steps"): (256, 256, IRN),
    ("make_pseudo", "background"): (0.21, 0.15, CODE),
    ("make_pseudo", "margin"): (0, 0, CODE),
    ("make_pseudo", "irn_cams_power"): (1.0, 1.0, CODE),
    ("make_pseudo", "crf_background"): (0.28, 0.25, OURS),
    ("train_seg", "loss"): ("cross_entropy", "cross_entropy", DEEPLAB),
    ("train_seg", "min_steps"): (0, 0, NONE),
    ("train_seg", "colour"): (0, 0, NONE),
    ("train_seg", "segmenter"): ("deeplabv2", "deeplabv2", DEEPLAB),
    ("train_seg", "backbone"): ("resnet101", "resnet101", DEEPLAB),
    ("train_seg", "weights"): ("imagenet", "imagenet", DEEPLAB),
    ("train_seg", "output_stride"): (8, 8, DEEPLAB),
    ("train_seg", "frozen_batch_norm"): (True, True, DEEPLAB),
    ("train_seg", "rates"): ([6, 12, 18, 24], [6, 12, 18, 24], DEEPLAB),
    ("train_seg", "batch_size"): (10, 20, DEEPLAB),
    ("train_seg", "gradient_accumulation_steps"): (2, 2, DEEPLAB),
    ("train_seg", "lr"): (0.00025, 0.0002, DEEPLAB),
    ("train_seg", "lr_head"): (0.0025, 0.002, DEEPLAB),
    ("train_seg", "lr_head_bias"): (0.005, 0.004, DEEPLAB),
    ("train_seg", "lr_step_interval"): (10, 10, DEEPLAB),
    ("train_seg", "momentum"): (0.9, 0.9, DEEPLAB),
    ("train_seg", "weight_decay"): (0.0005, 0.0005, DEEPLAB),
    ("train_seg", "crop"): (321, 321, DEEPLAB),
    ("train_seg", "split"): ("train_aug", "train_all", CODE),
    ("train_seg", "epochs"): (19, 24, DEEPLAB),
    ("train_seg", "resize_min"): (250, 320, DEEPLAB),
    ("train_seg", "resize_max"): (750, 960, DEEPLAB),
    ("evaluate", "threshold"): ("fixed", "fixed", CODE),
    ("evaluate", "cams_threshold"): (0.21, 0.15, CODE),
    ("evaluate", "crf"): (True, True, DEEPLAB),
    ("evaluate", "crf_iterations"): (10, 10, DEEPLAB),
    ("evaluate", "crf_sxy"): (67, 67, DEEPLAB),
    ("evaluate", "crf_srgb"): (3, 3, DEEPLAB),
    ("evaluate", "crf_weight"): (4, 4, DEEPLAB),
    ("evaluate", "crf_smooth_sxy"): (1, 1, DEEPLAB),
    ("evaluate", "crf_smooth_weight"): (3, 3, DEEPLAB),
    ("evaluate", "maps_split"): ("train", "train_all", CODE),
    ("evaluate", "scales"): ([1.0], [1.0], DEEPLAB),
}
CLIMB = {
    ("make_cams", "advcam_steps"): (27, ADVCAM),
    ("make_cams", "advcam_step_size"): (0.08, ADVCAM),
    ("make_cams", "advcam_lambda"): (7.0, ADVCAM),
    ("make_cams", "advcam_penalty"): ("published", ADVCAM),
    ("make_pseudo", "irn_cams_power"): (1.5, CODE),
}
OVERLAYS = {  # by the preset before them and their own name
    ("coco14", "coco14_advcam"): CLIMB,
    ("voc12", "voc12_advcam"): {
        **CLIMB,
        ("make_cams", "advcam_weights"): ("product", OURS),
        ("train_irn", "background"): (0.15, ADVCAM),
        ("make_pseudo", "background"): (0.15, ADVCAM),
        ("make_pseudo", "irn_background"): (0.25, ADVCAM),
        ("make_pseudo", "crf_background"): (0.25, OURS),
        ("evaluate", "cams_threshold"): (0.15, ADVCAM),
    },
    ("voc12", "voc12_lpcam"): {
        ("make_clusters", "images"): (1464, LPCAM),
        ("train_irn", "foreground"): (0.45, LPCAM),
        ("train_irn", "background"): (0.25, LPCAM),
        ("make_pseudo", "background"): (0.3, LPCAM),
        ("make_pseudo", "irn_background"): (0.35, LPCAM),
        ("make_pseudo", "crf_background"): (0.35, OURS),
        ("evaluate", "cams_threshold"): (0.3, LPCAM),
    },
    ("voc12", "voc12_clip"): {
        ("embed_texts", "prompts"): ("prompts/voc12.yaml", CLIP),
        ("train_recam", "lr_reclassifier"): (0.1, OURS),
        ("train_recam", "momentum"): (0.9, OURS),
        ("make_cams", "scales"): ([1.0], CLIP),
        ("make_cams", "geometry"): ("image", CLIP),
        ("make_cams", "combine"): ("mean", OURS),
        ("make_pseudo", "refiner"): ("affinity+crf", CLIP),
        ("make_pseudo", "affinity"): ("attention", CLIP),
        ("make_pseudo", "affinity_backbone"): ("classifier", CLIP),
        ("make_pseudo", "affinity_scale"): (1.0, CLIP),
        ("make_pseudo", "affinity_box"): (0.4, CLIP),
        ("make_pseudo", "affinity_background"): (0.5, CLIP),
        ("make_pseudo", "background"): (0.5, CLIP),
        ("make_pseudo", "crf_background"): (0.5, CLIP),
        ("make_pseudo", "crf_sxy"): (67, CLIP),
        ("make_pseudo", "crf_srgb"): (3, CLIP),
        ("make_pseudo", "crf_weight"): (4, CLIP),
        ("make_pseudo", "crf_smooth_sxy"): (1, CLIP),
        ("make_pseudo", "margin"): (0.45, CLIP),
        ("evaluate", "cams_threshold"): (0.5, CLIP),
    },
    ("voc12", "voc12_deit"): {
        ("train_cam", "backbone"): ("deit_small_patch16_224", MCTFORMER),
        ("train_cam", "frozen_stem"): (False, MCTFORMER),
        ("train_cam", "optimizer"): ("adamw", MCTFORMER),
        ("train_cam", "epochs"): (60, MCTFORMER),
        ("train_cam", "batch_size"): (64, MCTFORMER),
        ("train_cam", "lr"): (5e-4 * 64 / 512, MCTFORMER),
        ("train_cam", "lr_classifier"): (5e-4 * 64 / 512, MCTFORMER),
        ("train_cam", "weight_decay"): (0.05, MCTFORMER),
        ("train_cam", "crop"): (448, MCTFORMER),
        ("train_recam", "optimizer"): ("adamw", OURS),
        ("train_recam", "batch_size"): (64, OURS),
        ("train_recam", "lr"): (0.00000625, OURS),
        ("train_recam", "lr_reclassifier"): (0.0000625, OURS),
        ("train_recam", "weight_decay"): (0.05, OURS),
        ("train_recam", "crop"): (448, OURS),
        ("make_cams", "scales"): ([1.0, 0.75, 1.25], MCTFORMER),
        ("make_cams", "geometry"): ("image", OURS),
        ("make_pseudo", "threshold"): ("yen", OURS),
        ("evaluate", "threshold"): ("yen", OURS),
    },
    ("voc12", "voc12_saliency"): {("make_pseudo", "saliency"): ("folder", EDAM)},
    ("voc12", "voc12_dinov2"): {
        ("train_cam", "backbone"): ("vit_small_patch14_dinov2", DINO),
        ("train_cam", "output_stride"): (14, DINO),
        ("train_cam", "frozen_backbone"): (True, WECLIP),
        ("train_cam", "frozen_stem"): (False, NONE),
        ("train_cam", "crop"): (518, DINO),
        ("train_cam", "optimizer"): ("adamw", OURS),
        ("train_cam", "lr_classifier"): (0.001, OURS),
        ("train_recam", "crop"): (518, DINO),
        ("train_recam", "optimizer"): ("adamw", OURS),
        ("train_recam", "lr"): (0.001, OURS),
        ("train_recam", "lr_reclassifier"): (0.001, OURS),
        ("make_cams", "geometry"): ("image", OURS),
        ("train_seg", "segmenter"): ("tokens", WECLIP),
        ("train_seg", "backbone"): ("vit_small_patch14_dinov2", DINO),
        ("train_seg", "output_stride"): (14, DINO),
        ("train_seg", "frozen_backbone"): (True, WECLIP),
        ("train_seg", "gradient_accumulation_steps"): (1, OURS),
        ("train_seg", "optimizer"): ("adamw", WECLIP),
        ("train_seg", "lr_head"): (0.0002, WECLIP),
        ("train_seg", "lr_head_bias"): (0.0002, WECLIP),
        ("train_seg", "crop"): (518, DINO),
    },
    ("voc12", "voc12_swin"): {
        ("train_seg", "segmenter"): ("smp/upernet", SWIN),
        ("train_seg", "backbone"): ("swin_base_patch4_window7_224", OURS),
        ("train_seg", "output_stride"): (32, SWIN),
    },
}
NO_NUMBERS = {("methods",), ("download", "source"), ("download", "saliency")}


def numbers_of(*presets):
    """The default parameters, overlaid with presets in their order."""
    values = read_params(ROOT / "params.yaml").values
    for name in presets:
        values = merged(values, read_params(ROOT / f"presets/{name}.yaml").values)
    return values


def keys_of(preset):
    """The numbers that a preset sets, as section and name."""
    lines = read_params(ROOT / f"presets/{preset}.yaml").lines
    return {key for key in lines if len(key) == 2} - NO_NUMBERS


@pytest.mark.parametrize(("section", "name"), PUBLISHED)
def test_the_numbers_of_voc12_and_coco14_are_published(section, name):
    found = tuple(numbers_of(preset)[section].get(name) for preset in ("voc12", "coco14"))
    *expected, source = PUBLISHED[section, name]
    assert found == tuple(expected), source


@pytest.mark.parametrize("preset", ["voc12", "coco14"])
def test_every_number_of_a_preset_has_a_source(preset):
    assert keys_of(preset) <= set(PUBLISHED)


@pytest.mark.parametrize(("base", "overlay"), OVERLAYS)
def test_overlays_hold_the_numbers_of_their_sources(base, overlay):
    table = OVERLAYS[base, overlay]
    assert keys_of(overlay) == set(table)
    found = numbers_of(base, overlay)
    for (section, name), (value, source) in table.items():
        assert found[section][name] == value, source


def test_advcam_climbs_the_published_classifier_of_coco():
    cams = numbers_of("coco14", "coco14_advcam")["make_cams"]
    assert cams["advcam_weights"] == cams["combine"] == "classifier"


@pytest.mark.parametrize(
    ("preset", "images", "published"), [("voc12", 10_582, 20_000), ("coco14", 82_783, 100_000)]
)
def test_segmenters_train_for_about_the_published_number_of_steps(preset, images, published):
    numbers = numbers_of(preset)["train_seg"]
    steps = numbers["epochs"] * (images // numbers["batch_size"])
    assert steps == pytest.approx(published, rel=0.01)
