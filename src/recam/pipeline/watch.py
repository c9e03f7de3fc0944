"""A watchdog for a segmenter that predicts only background."""

from recam.core.errors import UserError
from recam.models.segmenters import Segmenter

PERCENT = 100.0
COLLAPSED = 0.01  # of the masks' foreground: a network that predicts less has collapsed
WARM_UP = 500  # steps in which a network may predict only background, at least
LONG_WARM_UP = 0.05  # of all steps, in a long run; in a short one half of all steps


class Watch:
    """Ends a training run whose network predicts only background, by a UserError.

    ``remedy`` ends the message: how to get better masks.
    """

    def __init__(self, model: Segmenter, *, remedy: str):
        self.model = model
        self.remedy = remedy
        self.last: int | None = None  # step of the previous call

    def __call__(self, step: int, steps: int) -> None:
        """Check the predictions since the last call, at ``step`` of ``steps``.

        Predictions before the first call and during the warm-up are not judged. Raises UserError if
        the predicted foreground is below 1 % of the masks' foreground.
        """
        in_masks, predicted = self.model.foreground.shares()
        since, self.last = self.last, step
        warm_up = min(max(WARM_UP, int(LONG_WARM_UP * steps)), steps // 2)
        if since is None or since < warm_up or predicted >= COLLAPSED * in_masks:
            return
        raise UserError(
            f"after {step} of {steps} steps the segmenter predicts {PERCENT * predicted:.2f} % "
            f"foreground, and its masks have {PERCENT * in_masks:.2f} %: if the learning rate is "
            "too high, lower lr_head, lr_head_bias and lr; if the masks are bad, inspect some and "
            f"{self.remedy}"
        )
