"""The answer of an experiment in one sentence, with yes, no or unknown, and the notes beside it.

The lead of a method is its difference in mIoU over the random seeds that both methods share. It
counts where it exceeds the sample standard deviation of these differences. The control, CAM trained
as long as ReCAM, must be beaten too if it ran: else the lead may come from longer training.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, stdev

from recam.report.methods import CAM, CONTROL, RECAM, STAGES, before_and_after, parts_of
from recam.report.style import look_of
from recam.report.summary import Metrics, Run, evaluated
from recam.report.trust import readings_of, verdicts

QUESTION = (
    "Does training from image-level labels alone give better masks with class re-activation maps "
    "(ReCAM) than with class activation maps (CAM)?"
)
JUDGED = ("pseudo", "seg", "cams")  # the first stage of these that is scored decides
NOUNS = {"pseudo": "masks", "seg": "predictions", "cams": "maps"}
BY_STAGE = {
    "cams": "Cams disagree",
    "pseudo": "Pseudo masks disagree",
    "seg": "Segmentation disagrees",
}
PAIR = (CAM, RECAM)  # of the question

Scores = dict[str, dict[str, dict[int, float]]]  # mIoU in percent by stage, method, random seed


class Verdict(StrEnum):
    """The first word of the answer."""

    YES = "Yes"
    NO = "No"
    UNKNOWN = "Unknown"


@dataclass(frozen=True, slots=True)
class Answer:
    """A sentence of at most 15 words, and the reasons for it."""

    verdict: Verdict
    words: str
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.verdict}: {self.words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """The lead over another method in points of mIoU, rounded to the tenth that pages show."""

    over: str
    mean: float
    spread: float | None  # sample standard deviation of the differences; None of one random seed
    random_seeds: tuple[int, ...]  # that have both methods

    @property
    def is_clear(self) -> bool:
        """Whether the lead exceeds the spread, or 0 where the spread is unknown."""
        return self.mean > (self.spread or 0)

    def __str__(self) -> str:
        spread = "" if self.spread is None else f" ± {self.spread:.1f}"
        return f"{self.mean:+.1f}{spread} mIoU over {_owner(self.over)}"


def answer_of(runs: list[Run]) -> Answer:
    """The answer for the first method that ran without and with ReCAM, of all runs so far."""
    pair = before_and_after(run.method for run in runs)
    if pair is None:
        return Answer(Verdict.UNKNOWN, "no method ran both with and without ReCAM.")
    scores = scores_of(runs)
    leads = {stage: found for stage in JUDGED if (found := leads_of(scores, stage, *pair))}
    return judged(pair[1], leads) if leads else _unknown(runs, pair)


def judged(after: str, leads: dict[str, list[Lead]]) -> Answer:
    """The answer from the leads of a method by stage, of which the first stage decides."""
    stage, found = next(iter(leads.items()))
    is_yes = all(lead.is_clear for lead in found)
    words = _yes(after, stage, found) if is_yes else _no(after, stage, found)
    reasons = [_rule(stage, found)]
    for other, its in list(leads.items())[1:]:
        if all(lead.is_clear for lead in its) != is_yes:
            said = ", ".join(map(str, its))
            reasons.append(f"{BY_STAGE[other]} with this answer: {said}.")
    return Answer(Verdict.YES if is_yes else Verdict.NO, words, tuple(reasons))


def scores_of(runs: list[Run]) -> Scores:
    """The mIoU of every evaluated run that was scored against ground truth."""
    scores: Scores = {stage: {} for stage in STAGES}
    for run in evaluated(runs):
        for stage, values in run.metrics().items():
            if "miou" in values:
                scores[stage].setdefault(run.method, {})[run.random_seed] = float(values["miou"])
    return scores


def leads_of(scores: Scores, stage: str, before: str, after: str) -> list[Lead]:
    """The leads of ``after`` over ``before`` and its control; empty without the first of them."""
    control = parts_of(before)._replace(reactivation=CONTROL).name
    found = [_lead(scores[stage], after, over) for over in (before, control)]
    return [lead for lead in found if lead] if found[0] else []


def scores_sentence(metrics: Metrics) -> str:
    """The scores of the first method with its ReCAM, at every stage."""
    before, after = before_and_after(m for stage in metrics.values() for m in stage) or PAIR
    names = f"{look_of(after).name} and {look_of(before).name}"

    def of(stage: str, method: str) -> str:
        return f"{float(metrics[stage][method]['miou']):.1f}"

    stages = [s for s in metrics if all("miou" in metrics[s].get(m, {}) for m in (before, after))]
    if not stages:
        return "CAM and ReCAM are not both scored."
    said = [f"{STAGES[s]} {of(s, after)} and {of(s, before)}" for s in stages]
    if "miou" in metrics["seg"].get("supervised", {}):
        said.append(f"segmentation with full supervision {of('seg', 'supervised')}")
    return f"mIoU of {names}, in percent: {'; '.join(said)}."


def _lead(scores: dict[str, dict[int, float]], after: str, over: str) -> Lead | None:
    mine, others = scores.get(after, {}), scores.get(over, {})
    seeds = tuple(sorted(set(mine) & set(others)))
    if not seeds:
        return None
    differences = [mine[seed] - others[seed] for seed in seeds]
    spread = round(stdev(differences), 1) if len(seeds) > 1 else None
    return Lead(over=over, mean=round(fmean(differences), 1), spread=spread, random_seeds=seeds)


def _yes(after: str, stage: str, leads: list[Lead]) -> str:
    first, *controls = leads
    over = "".join(f", {_owner(lead.over)}'s by {lead.mean:.1f}" for lead in controls)
    return (
        f"{_word(after)}'s {NOUNS[stage]} beat {_word(first.over)}'s by {first.mean:.1f} mIoU"
        f"{over} ({_seeds(first)})."
    )


def _no(after: str, stage: str, leads: list[Lead]) -> str:
    first, name, noun = leads[0], _word(after), NOUNS[stage]
    before, seeds = _word(first.over), _seeds(first)
    if first.mean == 0:
        return f"{name}'s and {before}'s {noun} reach the same mIoU ({seeds})."
    if first.mean < 0:
        return f"{name}'s {noun} are {-first.mean:.1f} mIoU below {before}'s ({seeds})."
    if not first.is_clear:
        lead = f"{first.mean:.1f} mIoU, is within the spread, {first.spread:.1f}"
        return f"{name}'s lead over {before}, {lead} ({seeds})."
    lead = f"{first.mean:.1f} mIoU, but not the control's"
    return f"{name}'s {noun} beat {before}'s by {lead} ({seeds})."


def _rule(stage: str, leads: list[Lead]) -> str:
    said = ", ".join(map(str, leads))
    if leads[0].spread is None:
        return f"Judged on {STAGES[stage]}: {said}; the spread of one random seed is unknown."
    return (
        f"Judged on {STAGES[stage]}: {said} (mean and sample standard deviation of the differences "
        "over random seeds). A lead counts if it exceeds one standard deviation."
    )


def _unknown(runs: list[Run], pair: tuple[str, str]) -> Answer:
    done = {method: _evaluated_seeds(runs, method) for method in pair}
    missing = [look_of(method).name for method in reversed(pair) if not done[method]]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        names = " and ".join(name.replace(" ", "") for name in missing)
        return Answer(
            Verdict.UNKNOWN, f"{names} {verb} not evaluated yet; `make run` resumes the run."
        )
    if not set.intersection(*done.values()):
        return Answer(Verdict.UNKNOWN, "no random seed has both methods evaluated.")
    lights = verdicts(readings_of(runs))
    said = {_word(method): str(lights[method]) for method in reversed(pair) if method in lights}
    if not said:
        return Answer(Verdict.UNKNOWN, "no ground truth, and no signs.")
    if len(set(said.values())) == 1:
        return Answer(
            Verdict.UNKNOWN, f"no ground truth; the signs say {next(iter(said.values()))}."
        )
    listed = ", ".join(f"{light} for {name}" for name, light in said.items())
    return Answer(Verdict.UNKNOWN, f"no ground truth; the signs say {listed}.")


def _evaluated_seeds(runs: Iterable[Run], method: str) -> set[int]:
    return {run.random_seed for run in evaluated(list(runs)) if run.method == method}


def _seeds(lead: Lead) -> str:
    count = len(lead.random_seeds)
    return f"seed {lead.random_seeds[0]}" if count == 1 else f"{count} seeds"


def _owner(method: str) -> str:
    return "the control" if parts_of(method).reactivation == CONTROL else _word(method)


def _word(method: str) -> str:
    """A method's name as one word."""
    return look_of(method).name.replace(" ", "")
