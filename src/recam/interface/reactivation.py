"""Re-activation of any classifier whose logits are a linear layer of a pooled feature map."""

import copy
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor, nn

from recam.catalogue.readouts import own_maps
from recam.core.errors import UserError
from recam.core.randomness import derived_seed
from recam.interface.batches import (
    NO_BATCH,
    Data,
    Labels,
    batches_of,
    inspected,
    pair_of,
    present_of,
)
from recam.interface.heads import FeaturesOf, Head, device_of, find_head
from recam.interface.networks import checked_combination, checked_scales
from recam.interface.training import train_all, warm_up_reclassifier
from recam.methods.cam import peak_normalised
from recam.methods.plugged import PluggedCam
from recam.methods.recam import MEAN, ReCam
from recam.methods.variant import Variant
from recam.pipeline.inference import averaged


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reactivated:
    """A re-activated classifier, and the given one as it was; both in evaluation mode."""

    model: nn.Module  # of the given class, with re-activated weights
    before: PluggedCam  # CAM of the given model
    after: ReCam  # of the re-activated one
    layer: str  # the layer that gives the features
    classes: tuple[str, ...]
    losses: tuple[dict[str, float], ...]  # of each step, by name: bce or ce, and sce

    def __repr__(self) -> str:
        return (
            f"Reactivated(layer={self.layer!r}, classes={self.classes!r}, steps={len(self.losses)})"
        )

    def maps(
        self,
        images: Float[Tensor, "B c H W"],
        labels: Labels,
        *,
        after: bool = True,
        combine: str = MEAN,
        scales: Sequence[float] = (1.0,),
    ) -> Float32[np.ndarray, "B K H W"]:
        """CAMs of the present classes, in [0, 1] with a peak of 1; those of absent classes are 0.

        ``images`` are prepared as the model expects them. ``labels`` are class indices (B), rows
        of 0 and 1 (B, K), or a list of names for each image. ``after=False`` gives the maps of the
        model before. ``scales`` of the image are averaged, each with its mirror image. ``combine``
        of ReCAM's classifiers W and V is ``mean``, ``product``, ``classifier``, ``reclassifier`` or
        ``sum``. Raises UserError for other values.
        """
        present = present_of(labels, self.classes)
        if len(present) != len(images):
            raise UserError(f"labels: expected those of {len(images)} images, got {len(present)}")
        variant: Variant = self.after if after else self.before
        given = images.to(variant.weights.device)
        with torch.no_grad():
            readout = own_maps(variant, combine=checked_combination(combine))
            maps = averaged(readout, given, present, scales=checked_scales(scales)).cpu()
        return (peak_normalised(maps) * present[:, :, None, None].cpu()).float().numpy()


def reactivate(  # noqa: PLR0913 one call, whose numbers have defaults
    model: nn.Module,
    layer: str | None,
    data: Data,
    *,
    classes: Sequence[str] | None = None,
    epochs: int = 4,
    warmup_steps: int = 30,
    learning_rate: float = 0.02,
    weight: float = 1.0,
    random_seed: int = 0,
    inplace: bool = False,
) -> Reactivated:
    """Re-activate a trained classifier: L = L_bce + ``weight`` · L_sce (ReCAM paper, section 3.2).

    ``layer`` names the output that the model pools, as in ``named_modules``; None finds it.
    ``data`` are batches (images, labels), a DataLoader, or a Dataset, read in shuffled batches of
    16, with images prepared as the model expects them. Labels are rows of 0 and 1 (B, K), or class
    indices (B): then softmax cross-entropy, L_ce, replaces L_bce. Layers keep their modes: after
    ``model.eval()``, batch norms keep their statistics. The model changes only with ``inplace``, at
    the end. Raises UserError without global pooling, for wrong data, and for an infinite loss.
    """
    _check_numbers(learning_rate, epochs=epochs, warmup_steps=warmup_steps, weight=weight)
    batches, before, trained = batches_of(data), _copied(model).eval(), _copied(model)
    with _seeded(random_seed, device_of(model)):
        plan = _planned(before, layer, batches, classes)
        original, after = plan.pair(before, trained, weight=weight)
        warm_up_reclassifier(after, batches, steps=warmup_steps, learning_rate=learning_rate)
        _set_modes(trained, like=model)
        losses = train_all(after, batches, steps=epochs * plan.batches, learning_rate=learning_rate)
    if inplace:
        model.load_state_dict(trained.state_dict())
    return Reactivated(
        model=model if inplace else trained.eval(),
        before=original,
        after=after.eval(),
        layer=plan.head.layer,
        classes=plan.classes,
        losses=losses,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    head: Head
    classes: tuple[str, ...]
    batches: int  # of an epoch
    single_label: bool

    def pair(
        self, before: nn.Module, trained: nn.Module, *, weight: float
    ) -> tuple[PluggedCam, ReCam]:
        """CAM of the first model, and ReCAM of the second on its device."""
        original = self.plugged(before).eval()
        after = ReCam(self.plugged(trained), weight=weight)
        return original, after.to(device_of(trained))

    def plugged(self, model: nn.Module) -> PluggedCam:
        """CAM of a model with this head."""
        linear = model.get_submodule(self.head.linear)
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"expected a linear layer, got {type(linear).__name__}")
        return PluggedCam(FeaturesOf(model, self.head), linear, single_label=self.single_label)


def _planned(
    model: nn.Module,
    layer: str | None,
    batches: Iterable[Sequence[Tensor]],
    classes: Sequence[str] | None,
) -> _Plan:
    head = find_head(model, layer, _first_images(batches).to(device_of(model)))
    names = _class_names(classes, head.num_classes)
    found = inspected(batches, num_classes=len(names))
    return _Plan(head=head, classes=names, batches=found.batches, single_label=found.single_label)


def _copied(model: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(model)
    except (RuntimeError, TypeError, AttributeError) as error:  # compiled or scripted modules
        raise UserError(
            f"model: expected a module that copy.deepcopy copies, got {type(model).__name__} "
            f"({error}); give the module itself"
        ) from error


def _set_modes(model: nn.Module, *, like: nn.Module) -> None:
    for module, other in zip(model.modules(), like.modules(), strict=True):
        module.training = other.training


def _first_images(batches: Iterable[Sequence[Tensor]]) -> Tensor:
    for batch in batches:
        return pair_of(batch)[0]
    raise UserError(NO_BATCH)


def _class_names(classes: Sequence[str] | None, number: int) -> tuple[str, ...]:
    """The names of the outputs. Raises UserError for another number of names or one output."""
    if number < 2:
        raise UserError(
            f"model: expected at least 2 outputs, got {number}; re-activation compares classes"
        )
    names = tuple(map(str, range(number)) if classes is None else classes)
    if len(names) != number or len(set(names)) < number:
        raise UserError(
            f"classes: expected {number} different names, one for each output of the model, got "
            f"{len(names)}, {len(set(names))} of them different"
        )
    return names


def _check_numbers(learning_rate: float, **numbers: float | int) -> None:
    """Raises UserError for a learning rate that is not above 0, and for a number below 0."""
    if not 0 < learning_rate < math.inf:
        raise UserError(f"learning_rate: expected a number above 0, got {learning_rate}")
    for name, value in numbers.items():
        if not 0 <= value < math.inf:
            raise UserError(f"{name}: expected a number of at least 0, got {value}")


@contextmanager
def _seeded(random_seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators inside the block; their states are restored at its end."""
    gpus = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(derived_seed(random_seed, "reactivate"))
        yield
