"""AdvCAM: all classes of a batch at once, beside one class of one image at a time.

Plain is, by AdvCAM's public code (Lee, Kim & Yoon, CVPR 2021): every step has two backward passes
through the whole network, one of them for Grad-CAM, with gradients of all parameters, and the last
step has them too. `by class` is ours with one class of one image at a time.
"""

from functools import partial
from typing import cast

import torch
from forms import as_plain, prepared
from harness import Run, Setting, Target, Work, Works, answer
from inputs import DEFAULT, Setup, noise_batch, published
from torch import Tensor

from recam.catalogue.methods import make_classifier
from recam.methods.advcam import AdvCam, Climb
from recam.methods.cam import Cam, peak_normalised, project

STEPS, STEPS_ON_GPU = 4, 27  # the second of presets/voc12_advcam.yaml
CLASSES = 3  # present in each image
CLIMB = Climb(
    steps=STEPS, step_size=0.08, weight=7.0, threshold=0.5, penalty="published", batch_size=12
)


def several_classes(device: torch.device) -> Work:
    """Four images of one size with three classes each, at one scale."""
    on_gpu = device.type == "cuda"
    setup, steps = (published(device), STEPS_ON_GPU) if on_gpu else (DEFAULT, STEPS)
    given = {"setup": setup, "steps": steps, "images": 4}
    return Work(
        name=f"advcam, {setup.model_config.backbone}, 4 x {setup.side} px, {CLASSES} classes each",
        forms={
            "ours": partial(climbed, batch_size=CLIMB.batch_size, **given),
            "by class": partial(climbed, batch_size=0, **given),
            "plain": partial(plain, **given),
        },
        images=4,
        tolerance=0.1,  # rounding decides at kinks of a fresh network; the tests compare exactly
        targets=(Target(form="plain", what="time", at_least=5),),
    )


def climbed(setting: Setting, *, setup: Setup, steps: int, images: int, batch_size: int) -> Run:
    """Ours, ``batch_size`` problems at once; of 0: one image and one class at a time."""
    model, batch, present = _inputs(setting, setup, images)
    model = prepared(model, setting.device)
    climb = Climb(
        steps=steps,
        step_size=CLIMB.step_size,
        weight=CLIMB.weight,
        threshold=CLIMB.threshold,
        penalty=CLIMB.penalty,
        batch_size=max(1, batch_size),
    )
    read = AdvCam(model, model.weights, climb)
    if batch_size:
        return lambda: peak_normalised(read(batch, present)[present])

    def run() -> Tensor:
        one_by_one = zip(batch.split(1), present.split(1), strict=True)
        return torch.cat([peak_normalised(read(one, own)[own]) for one, own in one_by_one])

    return run


def plain(setting: Setting, *, setup: Setup, steps: int, images: int) -> Run:
    """One class of one image after the other."""
    model, batch, present = _inputs(setting, setup, images)
    model.to(setting.device)
    batch = batch.contiguous()

    def run() -> Tensor:
        problems = present.nonzero().tolist()
        return peak_normalised(
            torch.stack([_one_class(model, batch[i], k, steps=steps) for i, k in problems])
        )

    return as_plain()(run)


def _one_class(model: Cam, image: Tensor, k: int, *, steps: int) -> Tensor:
    views, first, total = torch.stack([image, image.flip(2)]), None, torch.zeros(())
    for _ in range(steps):
        views.requires_grad_()
        features = model.features(views)
        features.retain_grad()
        rectified = torch.relu(project(model.weights, features))
        model.zero_grad()
        rectified[:, k].sum().backward(retain_graph=True)
        if features.grad is None:
            raise RuntimeError("the features have no gradient")
        slopes = features.grad
        importance = slopes.sum(dim=(2, 3), keepdim=True) / (slopes > 0).sum()
        found = (features * importance).sum(dim=1).relu()
        grad_cam = found[0] + found[1].flip(1)
        first = grad_cam.detach() if first is None else first
        # Cams, and not Grad-CAMs, so that the epsilon of their normalisation is as small as ours.
        positive = (model.weights[k] > 0).sum()
        total = total.to(image.device) + 2 * positive * grad_cam.detach() / steps
        scores = rectified.mean(dim=(2, 3))
        responds = grad_cam / grad_cam.max() > CLIMB.threshold
        penalty = ((grad_cam - first).abs() * responds).sum()
        model.zero_grad()
        views.grad = None
        (2 * scores[:, k].sum() - scores.sum() - CLIMB.weight * penalty).backward()
        if views.grad is None:
            raise RuntimeError("the images have no gradient")
        step = CLIMB.step_size * views.grad / views.grad.abs().max()
        views = (views + step).clamp(views.min(), views.max()).detach()
    return total


def _inputs(setting: Setting, setup: Setup, images: int) -> tuple[Cam, Tensor, Tensor]:
    """The same network, images and present classes for every form."""
    torch.manual_seed(0)
    model = make_classifier(setup.model_config).eval()
    batch, _ = noise_batch(setup, setting.device)
    present = torch.zeros(images, len(setup.model_config.classes), dtype=torch.bool)
    for i in range(images):
        present[i, i : i + CLASSES] = True
    return cast(Cam, model.variant), batch[:images], present.to(setting.device)


WORKS: Works = {"several_classes": several_classes}


if __name__ == "__main__":
    answer(WORKS, __doc__)
