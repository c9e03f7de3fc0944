"""The signs of failure that need no ground truth: their limits, and a remedy for each.

The limits are rules of thumb. They part the failures seen with this project, on drawn and on
photographed data, from runs whose masks were good; they are no property of any data set.
"""

from dataclasses import dataclass
from enum import StrEnum

EVERYTHING = float("inf")


class Light(StrEnum):
    """The light of a sign, from best to worst."""

    OK = "ok"
    LOOK = "look"
    BAD = "bad"

    @property
    def symbol(self) -> str:
        """A mark that is readable without colour."""
        return {"ok": "✓", "look": "!", "bad": "✗"}[self.value]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A sign in percent: green within ``ok``, red outside ``bearable``, amber between."""

    title: str
    ok: tuple[float, float]
    bearable: tuple[float, float]
    too_low: str = ""  # what to do below ``ok``; may name the classes as {classes}
    too_high: str = ""  # and above it

    def light(self, value: float) -> Light:
        """The light of a value in percent."""
        if self.ok[0] <= value <= self.ok[1]:
            return Light.OK
        return Light.LOOK if self.bearable[0] <= value <= self.bearable[1] else Light.BAD

    def excess(self, value: float) -> float:
        """The distance of a value from the nearest green one; 0 within ``ok``."""
        return max(self.ok[0] - value, value - self.ok[1], 0.0)

    def remedy(self, value: float) -> str:
        """The remedy for a value that is not green."""
        return self.too_low if value < self.ok[0] else self.too_high

    @property
    def green(self) -> str:
        """The green range in words."""
        low, high = self.ok
        if low == high:
            return f"{low:g}"
        if high == EVERYTHING:
            return f"from {low:g}"
        return f"up to {high:g}" if not low else f"{low:g} to {high:g}"

    @property
    def red(self) -> str:
        """The red ranges in words."""
        low, high = self.bearable
        below = [f"below {low:g}"] if self.too_low else []
        above = [f"above {high:g}"] if self.too_high else []
        return " or ".join(below + above)


SCORE = (
    "(`make_pseudo.crf_discount` with `threshold: yen`; with `fixed` `crf_background`, or "
    "`background` without a CRF)"
)
LOWER = f"lower the background score {SCORE}"
LONGER = "train the segmenter longer (`train_seg.min_steps`) until its loss stops falling"
USE_CAM = "until then use the masks of CAM (`results/seed*/cam`)"

SIGNS = {
    # Objects cover about a third of a picture in the usual data sets, and rarely half of it.
    # Evidence that fills the image gives 60 % and more, maps cut too high nearly nothing.
    "pseudo_foreground": Sign(
        title="foreground in pseudo masks",
        ok=(3.0, 45.0),
        bearable=(1.0, 60.0),
        too_low=f"The masks are nearly empty. Unless your objects are tiny, {LOWER}.",
        too_high="The masks spill over or fill the images. Unless your objects fill them, too, "
        f"raise the background score {SCORE}; if the maps themselves fill the images, use another "
        "method or add images without the class.",
    ),
    # Yen's criterion finds a threshold in the maps' own histogram; refinement moves borders, but
    # keeps most of the area. 93 (CAM) and 92 (ReCAM) in a good run on drawn scenes.
    "pseudo_of_yen": Sign(
        title="pseudo foreground / Yen's",
        ok=(50.0, 200.0),
        bearable=(33.0, 300.0),
        too_low="The threshold is far above the one that the maps themselves suggest, so objects "
        f"are cut off: {LOWER}.",
        too_high="The threshold is far below the one that the maps themselves suggest, so masks "
        "spill over: raise the background score, or let `make_pseudo.threshold: yen` choose it.",
    ),
    # Ignored pixels score within `margin` of the threshold: with many of them, a slightly
    # different threshold gives other masks.
    "ignored": Sign(
        title="ignored in pseudo masks",
        ok=(0.0, 20.0),
        bearable=(0.0, 50.0),
        too_high="Many scores are near the threshold, so the masks depend on its exact value. "
        "Change `make_pseudo.threshold` (`yen` or `fixed`) or refine the maps with a CRF.",
    ),
    # A labelled image shows an object, so each empty mask is wrong.
    "empty_images": Sign(
        title="labelled images, all background",
        ok=(0.0, 5.0),
        bearable=(0.0, 20.0),
        too_high=f"The objects of these images are lost: {LOWER}; for small objects add a larger "
        "scale to `make_cams.scales`.",
    ),
    # Each missing pair is a miss. Small objects beside large ones account for some of them.
    "missing_labels": Sign(
        title="labels without a pixel",
        ok=(0.0, 15.0),
        bearable=(0.0, 40.0),
        too_high=f"Classes lose all pixels in images that are labelled with them: {LOWER}, and add "
        "a larger scale to `make_cams.scales` or images that show these classes alone.",
    ),
    # One lost class may be a rare one; a fifth of them is a failure of the whole run.
    "unseen_classes": Sign(
        title="classes in no pseudo mask",
        ok=(0.0, 0.0),
        bearable=(0.0, 20.0),
        too_high="No mask shows {classes}. Check their labels, add images (20 each at least, also "
        "images without them), or merge classes that always come together.",
    ),
    # Mean IoU of the classes, without background, which agrees by itself. 50 in a good run on drawn
    # scenes, where ReCAM mends much of CAM.
    "cam_agreement": Sign(
        title="agreement, pseudo with CAM's",
        ok=(40.0, EVERYTHING),
        bearable=(25.0, EVERYTHING),
        too_low="Two methods that learned from the same labels disagree, so one of them is wrong. "
        "Compare their masks (`results/picture.png`) and use the better ones.",
    ),
    "predicted_foreground": Sign(
        title="foreground in predictions",
        ok=(3.0, 45.0),
        bearable=(1.0, 60.0),
        too_low=f"The segmenter calls nearly everything background: {LONGER}, unless the pseudo "
        "masks are nearly empty, too.",
        too_high="The segmenter calls most of each image an object. Mend the pseudo masks first, "
        "then train it again.",
    ),
    # On the same pixels, so that only the segmenter makes the difference.
    "predicted_of_pseudo": Sign(
        title="predicted / pseudo foreground",
        ok=(67.0, 150.0),
        bearable=(50.0, 200.0),
        too_low=f"The segmenter finds less than it was shown: {LONGER}.",
        too_high=f"The segmenter spreads beyond the masks that it was shown: {LONGER}, and look "
        "for pseudo masks that contradict each other.",
    ),
    # Mean IoU of the classes, without background. 43 (CAM) and 63 (ReCAM) in a good run on drawn
    # scenes; a segmenter that was stopped far too early stays below 26 on its training images.
    "agreement": Sign(
        title="agreement, predictions with pseudo",
        ok=(40.0, EVERYTHING),
        bearable=(26.0, EVERYTHING),
        too_low=f"The segmenter has not learned its pseudo masks: {LONGER}. If the loss no longer "
        "falls (page Curves), the pseudo masks contradict each other: mend them first.",
    ),
    "unpredicted_classes": Sign(
        title="classes never predicted",
        ok=(0.0, 0.0),
        bearable=(0.0, 20.0),
        too_high="The segmenter never predicts {classes}. If pseudo masks show them, "
        f"{LONGER}, or add images.",
    ),
    # Below half, most labels of unseen images are missed, and their maps mean nothing.
    "recall": Sign(
        title="held-out label recall",
        ok=(60.0, EVERYTHING),
        bearable=(40.0, EVERYTHING),
        too_low="The classifier misses labels of images that it did not train on, so its maps are "
        "not evidence. Train it longer (`train_cam.min_steps`), add images, or check the labels.",
    ),
    "precision": Sign(
        title="held-out label precision",
        ok=(60.0, EVERYTHING),
        bearable=(40.0, EVERYTHING),
        too_low="The classifier sees classes that are not labelled. Complete the labels, add "
        "images without these classes, or separate classes that always come together.",
    ),
    # Epoch 0 is the classifier of stage one. Some rise is the price of a second loss.
    "bce_of_start": Sign(
        title="held-out bce / CAM's",
        ok=(0.0, 110.0),
        bearable=(0.0, 150.0),
        too_high="Stage two harmed the classifier: lower `train_recam.lr` or "
        f"`train_recam.min_steps` (page Curves); {USE_CAM}.",
    ),
    "recall_change": Sign(
        title="held-out recall - CAM's",
        ok=(-5.0, EVERYTHING),
        bearable=(-15.0, EVERYTHING),
        too_low="Stage two made the classifier lose labels: lower `train_recam.lr` or "
        f"`train_recam.min_steps`; {USE_CAM}.",
    ),
}
