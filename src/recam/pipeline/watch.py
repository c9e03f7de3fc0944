"""A watchdog for a segmenter that predicts only background."""

from recam.core.errors import UserError
from recam.models.segmenters import Segmenter

PERCENT = 100.0
COLLAPSED = 0.01  # of the foreground in the masks: a network that finds less finds nothing
WARM_UP = 500  # steps in which a network may call everything background, at least
LONG_WARM_UP = 0.05  # of all steps, in a long run; in a short one half of them are enough


class Watch:
    """Stops a training run whose network calls everything background. Raises UserError then."""

    def __init__(self, model: Segmenter, *, remedy: str):
        self.model = model
        self.remedy = remedy
        self.last: int | None = None  # at which step it was called before

    def __call__(self, step: int, steps: int) -> None:
        """Look at what was found since the last call, after so many steps of so many.

        What was found before the first call, or before the network had warmed up, is not judged.
        """
        true, found = self.model.foreground.shares()
        since, self.last = self.last, step
        warm_up = min(max(WARM_UP, int(LONG_WARM_UP * steps)), steps // 2)
        if since is None or since < warm_up or found >= COLLAPSED * true:
            return
        raise UserError(
            f"after {step} of {steps} steps the segmenter calls {PERCENT * found:.2f} % of the "
            f"pixels something else than background, its masks {PERCENT * true:.2f} %: either its "
            "learning rate is too high, so lower lr_head, lr_head_bias and lr; or its masks are of "
            f"no use, so look at some and {self.remedy}"
        )
