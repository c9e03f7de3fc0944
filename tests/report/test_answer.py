"""The answer in one sentence: yes or no against the numbers, the control and the spread."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from page_runs import write_pseudo, write_run

from recam.report.answer import Verdict, answer_of, judged, leads_of, scores_of
from recam.report.summary import Run

MOST_WORDS = 15
# mIoU of pseudo masks, a value for each random seed, by method -> the answer.
SENTENCES = {
    "a lead": (
        {"cam": [56.0], "recam": [71.2]},
        "Yes: ReCAM's masks beat CAM's by 15.2 mIoU (seed 0).",
    ),
    "a loss": (
        {"cam": [56.0], "recam": [54.0]},
        "No: ReCAM's masks are 2.0 mIoU below CAM's (seed 0).",
    ),
    "a tie of rounded numbers": (
        {"cam": [56.0], "recam": [56.04]},
        "No: ReCAM's and CAM's masks reach the same mIoU (seed 0).",
    ),
    "a lead beyond the spread": (  # differences 1, 5, 4: 3.3 ± 2.1
        {"cam": [50.0, 51.0, 52.0], "recam": [51.0, 56.0, 56.0]},
        "Yes: ReCAM's masks beat CAM's by 3.3 mIoU (3 seeds).",
    ),
    "a lead within the spread": (  # differences 0, 2, 7: 3.0 ± 3.6
        {"cam": [50.0, 50.0, 50.0], "recam": [50.0, 52.0, 57.0]},
        "No: ReCAM's lead over CAM, 3.0 mIoU, is within the spread, 3.6 (3 seeds).",
    ),
    "seeds that move together": (  # differences 2, 2: the spread of the methods is no matter
        {"cam": [40.0, 60.0], "recam": [42.0, 62.0]},
        "Yes: ReCAM's masks beat CAM's by 2.0 mIoU (2 seeds).",
    ),
    "a lead over the control": (
        {"cam": [50.0], "control": [52.0], "recam": [55.0]},
        "Yes: ReCAM's masks beat CAM's by 5.0 mIoU, the control's by 3.0 (seed 0).",
    ),
    "a better control": (
        {"cam": [50.0], "control": [56.0], "recam": [55.0]},
        "No: ReCAM's masks beat CAM's by 5.0 mIoU, but not the control's (seed 0).",
    ),
    "a seed that one method lacks": (
        {"cam": [50.0, 90.0], "recam": [55.0]},
        "Yes: ReCAM's masks beat CAM's by 5.0 mIoU (seed 0).",
    ),
    "a variant": (
        {"seam": [50.0], "seam-control": [52.0], "seam-recam": [55.0]},
        "Yes: SEAM+ReCAM's masks beat SEAM's by 5.0 mIoU, the control's by 3.0 (seed 0).",
    ),
}


@pytest.mark.parametrize(("mious", "sentence"), SENTENCES.values(), ids=list(SENTENCES))
def test_the_answer_follows_from_the_pseudo_masks(tmp_path, mious, sentence):
    assert str(answer_of(write_pseudo(tmp_path, mious))) == sentence
    assert len(sentence.split()) <= MOST_WORDS


MIOUS = st.lists(st.floats(0, 100), min_size=1, max_size=4)


@given(before=MIOUS, control=MIOUS, after=MIOUS, readout=st.sampled_from(["", "-gradcampp"]))
def test_yes_needs_a_lead_over_all_baselines_beyond_its_spread(before, control, after, readout):
    names = [f"{name}{readout}" for name in ("eps", "eps-control", "eps-recam")]
    mious = {
        name: dict(enumerate(values))
        for name, values in zip(names, (before, control, after), strict=True)
    }
    leads = leads_of({"pseudo": mious}, "pseudo", names[0], names[2])
    answer = judged(names[2], {"pseudo": leads})
    assert len(leads) == 2
    assert (answer.verdict is Verdict.YES) == all(x.mean > (x.spread or 0) for x in leads)
    assert len(str(answer).split()) <= MOST_WORDS


def test_other_stages_that_disagree_are_named(tmp_path):
    runs = [
        write_run(tmp_path, "cam", mious={"cams": 40.0, "pseudo": 50.0, "seg": 60.0}),
        write_run(tmp_path, "recam", mious={"cams": 45.0, "pseudo": 52.0, "seg": 58.5}),
    ]
    answer = answer_of(runs)
    assert str(answer) == "Yes: ReCAM's masks beat CAM's by 2.0 mIoU (seed 0)."
    assert answer.reasons == (
        "Judged on pseudo masks: +2.0 mIoU over CAM; the spread of one random seed is unknown.",
        "Segmentation disagrees with this answer: -1.5 mIoU over CAM.",
    )


def test_only_the_segmentation_has_ground_truth(tmp_path):
    runs = [
        write_run(tmp_path, method, mious={"seg": miou})
        for method, miou in (("cam", 50.0), ("recam", 52.0))
    ]
    assert str(answer_of(runs)) == "Yes: ReCAM's predictions beat CAM's by 2.0 mIoU (seed 0)."


@pytest.mark.parametrize(
    ("share", "words"),
    [(20.0, "the signs say ok."), (64.0, "the signs say bad for ReCAM, ok for CAM.")],
)
def test_without_ground_truth_the_signs_answer(tmp_path, share, words):
    runs = [
        write_run(tmp_path, "cam"),
        write_run(tmp_path, "recam", signs={"pseudo_foreground": share}),
    ]
    assert str(answer_of(runs)) == f"Unknown: no ground truth; {words}"
    assert scores_of(runs) == {"cams": {}, "pseudo": {}, "seg": {}}


def test_an_unfinished_run_has_no_answer_yet(tmp_path):
    cam = write_run(tmp_path, "cam", mious={"pseudo": 50.0})
    recam = Run(folder=tmp_path / "seed0/recam")
    sentence = "Unknown: ReCAM is not evaluated yet; `make run` resumes the run."
    assert str(answer_of([cam, recam])) == sentence
    (cam.folder / "metrics.json").unlink()
    assert str(answer_of([cam, recam])).startswith("Unknown: ReCAM and CAM are not evaluated yet;")
    other = write_run(tmp_path, "recam", seed=1, mious={"pseudo": 50.0})
    (cam.folder / "metrics.json").write_text(json.dumps({"pseudo": {"split": "train"}}))
    assert str(answer_of([cam, other])) == "Unknown: no random seed has both methods evaluated."


def test_a_method_without_its_recam_has_no_answer(tmp_path):
    runs = write_pseudo(tmp_path, {"cam": [50.0], "control": [51.0]})
    assert str(answer_of(runs)) == "Unknown: no method ran both with and without ReCAM."
