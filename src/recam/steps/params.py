"""The whole of params.yaml: its sections, their check, and the merge of a preset."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from recam.catalogue.names import (
    LIVE_LOGS,
    METHODS,
    ON_FEATURES,
    SUPERVISED,
    needs_irn,
    needs_saliency,
)
from recam.core.errors import UserError
from recam.steps.messages import first_sentence
from recam.steps.sections.download import Download
from recam.steps.sections.embed_texts import EmbedTexts
from recam.steps.sections.evaluate import Evaluate
from recam.steps.sections.machine import MachineOfAll
from recam.steps.sections.make_cams import MakeCams
from recam.steps.sections.make_clusters import MakeClusters
from recam.steps.sections.make_pseudo import MakePseudo
from recam.steps.sections.pictures import Draw, Summarize
from recam.steps.sections.shared import Section, Training, name_from, not_on_features
from recam.steps.sections.train_cam import TrainCam
from recam.steps.sections.train_irn import TrainIrn
from recam.steps.sections.train_recam import TrainRecam
from recam.steps.sections.train_saliency import TrainSaliency
from recam.steps.sections.train_seg import TrainSeg
from recam.steps.yaml_files import ParamsFile


def _without_repetition(values: tuple[object, ...]) -> tuple[object, ...]:
    if len(set(values)) < len(values):
        raise PydanticCustomError("expected", "", {"expected": "no value twice"})
    return values


class Experiment(Section):
    """All numbers of the experiment; params.yaml has the same keys."""

    random_seeds: Annotated[
        tuple[Annotated[int, Field(ge=0)], ...],
        Field(
            strict=False,
            min_length=1,
            description="random seeds of the replicates; results are means and standard "
            "deviations over them",
        ),
        AfterValidator(_without_repetition),
    ]
    methods: Annotated[
        tuple[Annotated[str, *name_from((*METHODS, SUPERVISED))], ...],
        Field(strict=False, min_length=1, description="methods to run side by side"),
        AfterValidator(_without_repetition),
    ]
    watch: Annotated[
        str,
        *name_from(("none", *LIVE_LOGS)),
        Field(description="log of running trainings in logs/watch; changes no result"),
    ]
    feature_cache: Annotated[
        float,
        Field(
            ge=0,
            description="limit of stored features of frozen backbones in .cache/features, in GiB; "
            "changes no result",
        ),
    ]
    storage: Annotated[
        Literal["files", "archives"],
        Field(
            description="maps and masks of results/ in a file an image, or in ZIP archives of "
            "1,000 images; changes no value, and folders that are there stay as they are"
        ),
    ]
    machine: MachineOfAll
    download: Download
    embed_texts: EmbedTexts
    train_cam: TrainCam
    train_recam: TrainRecam
    make_clusters: MakeClusters
    make_cams: MakeCams
    train_saliency: TrainSaliency
    train_irn: TrainIrn
    make_pseudo: MakePseudo
    train_seg: TrainSeg
    evaluate: Evaluate
    summarize: Summarize
    draw: Draw

    @model_validator(mode="after")
    def _saliency_has_maps(self) -> "Experiment":
        if self.make_pseudo.saliency == "folder" and self.download.saliency is None:
            words = (
                "make_pseudo.saliency: expected the path of a folder of saliency maps in "
                "download.saliency, got none; set it, or set make_pseudo.saliency: none"
            )
            raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self

    @model_validator(mode="after")
    def _methods_have_saliency(self) -> "Experiment":
        learning = [method for method in self.methods if needs_saliency(method)]
        if learning and self.download.saliency is None:
            words = (
                f"methods: {learning[0]} learns from saliency maps, expected the path of their "
                "folder in download.saliency, got none; set it, or remove the method"
            )
            raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self

    @model_validator(mode="after")
    def _frozen_features_suffice(self) -> "Experiment":
        if not self.train_cam.frozen_backbone:
            return self
        mapped = [METHODS[method] for method in self.methods if method != SUPERVISED]
        for method in mapped:
            if method.training not in ON_FEATURES:
                words = f"train_cam.{not_on_features(method.training)}"
                raise PydanticCustomError("sentence", "{words}", {"words": words})
        if self.train_recam.colour and any(method.reactivation for method in mapped):
            words = (
                "train_recam.colour: expected 0 with train_cam.frozen_backbone, whose features are "
                f"computed once, got {self.train_recam.colour}; set it to 0.0"
            )
            raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self

    @model_validator(mode="after")
    def _devices_divide_batches(self) -> "Experiment":
        devices = self.machine.devices
        if isinstance(devices, str):  # auto: the number is known where the step runs
            return self
        for name in type(self).model_fields:
            section = getattr(self, name)
            is_trained = {
                "train_irn": needs_irn(self.make_pseudo.refiner),
                "train_saliency": self.make_pseudo.saliency == "ccam",
            }.get(name, True)
            if isinstance(section, Training) and is_trained and section.batch_size % devices:
                words = (
                    f"{name}.batch_size: expected a multiple of machine.devices ({devices}), got "
                    f"{section.batch_size}; change one"
                )
                raise PydanticCustomError("sentence", "{words}", {"words": words})
        return self


def check(params: Mapping[str, Any], files: list[ParamsFile]) -> Experiment:
    """The experiment of ``params``, which ``files`` gave, the last one overriding the others.

    Raises UserError for the first error: an unknown, missing, mistyped or out-of-range value, with
    its dotted key, the file and the line.
    """
    try:
        return Experiment.model_validate(dict(params))
    except ValidationError as error:
        key, sentence = first_sentence(error, Experiment)
        raise UserError(f"{_place(key, files)}: {sentence}") from None


def _place(key: tuple[str, ...], files: list[ParamsFile]) -> str:
    """File and line of the value in force, or of its section; all files where none has it."""
    for length in range(len(key), 0, -1):
        for file in reversed(files):
            if line := file.lines.get(key[:length]):
                return f"{file.path}:{line}"
    return " + ".join(str(file.path) for file in files)


def merged(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of ``base``, with those of ``overlay`` in their place, section by section."""
    result = dict(base)
    for name, value in overlay.items():
        is_section = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = merged(result[name], value) if is_section else value
    return result
