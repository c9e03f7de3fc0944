# Shared by the rules: checked parameters and their format in command lines, the files a script
# imports, and the record for DVC at the end of a run.
import atexit
import hashlib
import os
import shlex
import subprocess
import sys
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

# This project's own modules, also in a copy of it.
sys.path[:0] = [os.path.join(workflow.basedir, folder) for folder in ("src", "workflow")]

import interrupts

interrupts.end_quietly()  # before imports that take a second

import previous
import stamps as order
from records import damaged_records
from recam.catalogue import names
from recam.checks.saliency import saliency_folder
from recam.core.disk import disk_sentence
from recam.core.errors import UserError
from recam.io.atomic import sha256, write_text
from recam.runtime.gpus import gpus_here
from recam.steps import params as experiment
from recam.steps.code import write_code
from recam.steps.command import FEATURE_CACHE, STORAGE, WATCH
from recam.steps.folder_state import state_of
from recam.steps.networks import name_errors, network_errors
from recam.steps.preflight import machine_errors, texts_errors, watch_errors, weights_errors
from recam.steps.sections.shared import file_of_weights
from recam.steps.without_effect import SHARDS, SPARED
from recam.steps.yaml_files import read_params

order.leave_out_of_inputs()

STARTED = time.time()
CHECKED = Path("logs/.source")  # the key of the last check of the user's folder without an error
UNRECORDED = Path("logs/.unrecorded")  # from the start of a run until DVC knows its results


class Section(dict):
    """A section of params.yaml; in a shell command it becomes `--key value ...`,
    exactly as DVC writes ${section}."""

    def __str__(self):
        from dvc.parsing.interpolate import to_str

        return to_str(dict(self))

    def __format__(self, spec):
        return str(self)


def section(name):
    """A section, without the parameters that change no result."""
    spared = SPARED.get(name, ())
    return Section({key: value for key, value in config[name].items() if key not in spared})


def check_place():
    """Refuse another working directory, a folder that is none, and damaged records."""
    here, project = Path.cwd().resolve(), Path(workflow.basedir).resolve()
    if here != project:
        raise WorkflowError(
            f"expected to run in the folder of the Snakefile, got {here} as working directory; run"
            f" `cd {shlex.quote(str(project))}` first, and leave out --directory and -s"
        )
    for name in ("data", "results", "logs"):
        folder = Path(name)
        if os.path.lexists(folder) and not folder.is_dir():
            is_link = folder.is_symlink()
            got = f"a link to {os.readlink(folder)}, which is not there" if is_link else "a file"
            remedy = (
                "make that folder, mount its disk, or remove the link" if is_link else "move it"
            )
            raise WorkflowError(f"{name}: expected a folder, got {got}; {remedy}")
    with one_sentence():
        for error in damaged_records():
            raise WorkflowError(error)


@contextmanager
def one_sentence(prefix=""):
    """Raise WorkflowError, which Snakemake prints without a traceback, for a user's error."""
    try:
        yield
    except UserError as error:
        raise WorkflowError(f"{prefix}{error}") from None
    except OSError as error:
        raise WorkflowError(f"{prefix}{disk_sentence(error)}") from None


def read_strictly(path):
    """Read a configuration file; WorkflowError with one sentence about its first error."""
    with one_sentence():
        return read_params(Path(os.path.relpath(path)))


def check_params():
    """The experiment of all files; invalid parameters are refused before anything is deleted."""
    files = [
        read_strictly(path) for path in (*workflow.configfiles, *workflow.overwrite_configfiles)
    ]
    with one_sentence():
        numbers = experiment.check(config, files)
        is_here = workflow.nodes is None  # jobs of a cluster run on other machines
        for error in [*machine_errors(numbers.machine, gpus_here())] * is_here:
            raise WorkflowError(error)
        for error in [
            *name_errors(numbers),
            *watch_errors(numbers.watch),
            *weights_errors(numbers),
            *texts_errors(numbers, Path("results/texts.pt")),
        ]:
            raise WorkflowError(error)
        # No arguments of a step: a change must rerun nothing.
        os.environ[WATCH] = numbers.watch
        os.environ[FEATURE_CACHE] = str(numbers.feature_cache)
        os.environ[STORAGE] = numbers.storage
        os.environ[SHARDS] = str(numbers.machine.shards)
        return numbers


def check_networks(numbers):
    """Refuse a backbone without the output stride, before the first step deletes its outputs."""
    for error in network_errors(numbers):
        raise WorkflowError(error)


def code(step):
    """The file of hashes of all code that a step's script imports: an input of the step."""
    try:
        with one_sentence():
            return write_code(Path(workflow.basedir, f"workflow/scripts/{step}.py")).as_posix()
    except SyntaxError as error:
        sentence = f"{error.filename}, line {error.lineno}: {error.msg}; correct it"
        raise WorkflowError(sentence) from None


def weights_file(name):
    """The file of initial weights that a section names, in a list; none for words."""
    file = file_of_weights(config[name]["weights"])
    return [str(file)] if file else []


def weights_of_affinities():
    """The file of weights of a backbone that only gives affinities, in a list; none for others."""
    file = NUMBERS.make_pseudo.affinity_file
    return [str(file)] if file else []


def files_of_texts():
    """The files that text vectors are made of, in a list; none where no method needs them."""
    if not any(map(names.needs_texts, config["methods"])):
        return []
    chosen = config["embed_texts"]
    given = [chosen["vectors"]] if chosen["vectors"] != "none" else [chosen["prompts"]]
    weights = [chosen["weights"]] if Path(chosen["weights"]).expanduser().is_file() else []
    return [str(Path(file).expanduser()) for file in [*given, *weights]]


def texts_of_method(wildcards):
    """The text vectors of a method; others than those of CLIP-ES have none."""
    return "results/texts.pt" if names.needs_texts(wildcards.method) else []


def weights_of_stage_one(wildcards):
    """The file of initial weights of a classifier, in a list; none for words."""
    if not names.needs_texts(wildcards.method):
        return weights_file("train_cam")
    file = config["train_cam"]["clip_weights"]
    return [] if file in ("timm", "none") else [str(Path(file).expanduser())]


def contents(files):
    """The checksums of files, since Snakemake compares large files by their times alone."""
    return [sha256(Path(file)) for file in files]


def check_source(numbers):
    """Refuse an unusable folder of the user, before Snakemake deletes anything or trains."""
    inside = Path("data").resolve()
    for key in ("source", "saliency"):
        given = Path(config["download"].get(key) or "auto").expanduser()
        with one_sentence(f"download.{key}: "):
            source = given.resolve()
        if str(given) in own_folders() and set("{}\n") & set(str(given)):
            raise WorkflowError(
                f"download.{key}: expected a path without braces ({{ }}) and line breaks, which"
                f" Snakemake reads as wildcards, got {str(given)!r}; rename the folder, or give a"
                " link to it"
            )
        if inside in (source, *source.parents) and inside / "originals" not in source.parents:
            raise WorkflowError(
                f"download.{key}: {source} is in the folder data, which is rewritten; move your"
                " files elsewhere"
            )
    own_saliency()
    if config["download"]["dataset"] == "folder":
        check_own_folder(numbers)


def check_own_folder(numbers):
    """Check the user's folder, unless an earlier start has checked the same: every start, and every
    job of a cluster, would list all of its images again."""
    from recam.steps.preflight import errors_of

    with one_sentence("download: "):
        key = key_of_source()
        if CHECKED.is_file() and CHECKED.read_text() == key:
            return
        errors = errors_of(numbers, facts_of_source(numbers.download))
    for error in errors:
        raise WorkflowError(error)
    with one_sentence():
        write_text(CHECKED, key)


def key_of_source():
    """A hash of the inputs of that check: numbers, files, code."""
    parts = [dict(config), seen(own_folders()), sha256(Path(code("check_data")))]
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def facts_of_source(numbers):
    """Splits, images and masks of the user's folder; WorkflowError if it is unusable."""
    from recam.datasets.folder import list_folder
    from recam.steps.preflight import facts_of_collection

    with one_sentence("download: "):
        return facts_of_collection(list_folder(numbers.source), longest_side=numbers.longest_side)


def warn_of_source(numbers):
    """Print the warnings about the user's folder, before the first step."""
    if config["download"]["dataset"] == "folder":
        from recam.steps.preflight import warnings_of

        try:
            for sentence in warnings_of(numbers, facts_of_source(numbers.download)):
                print(f"warning: {sentence}", file=sys.stderr)
        except (
            UserError,
            OSError,
        ) as error:  # an unreadable image: the download step reports all of them
            print(f"warning: {error}", file=sys.stderr)


def own_folders():
    """Folders of the user's own files, inputs, since the user may change them at any time."""
    chosen = config["download"]
    images = [Path(chosen["source"]).expanduser()] if chosen["dataset"] == "folder" else []
    maps = own_saliency()
    is_outside = maps and not any(folder in (maps, *maps.parents) for folder in images)
    return [str(folder) for folder in [*images, *([maps] if is_outside else [])]]


def own_saliency():
    """The user's folder of saliency maps, or None; WorkflowError if it is missing."""
    with one_sentence("download: "):
        return saliency_folder(config["download"].get("saliency"))


def data_folders():
    """The folders of images, masks and saliency maps, by whether they are made or linked."""
    kind = "made" if config["download"]["dataset"] in names.MADE else "linked"
    found = {"made": [], "linked": [], kind: ["data/JPEGImages", "data/SegmentationClass"]}
    found["linked"] += ["data/Saliency"] * bool(own_saliency())
    return {kind: [directory(folder) for folder in folders] for kind, folders in found.items()}


def saliency(ending=""):
    """The folder of saliency maps, or its list of checksums; none where none are used."""
    places = {
        "none": [],
        "folder": f"data/Saliency{ending}",
        "ccam": f"results/seed{{seed}}/saliency/maps{ending}",
    }
    return places[config["make_pseudo"]["saliency"]]


def saliency_to_learn(ending=""):
    """The user's saliency maps, or their list of checksums; none for a method that needs none."""
    return lambda wildcards: (
        f"data/Saliency{ending}" if names.needs_saliency(wildcards.method) else []
    )


@cache
def state_of_folders(*folders):
    """The state of the folders as this start finds them, read once."""
    return state_of(folders)


def seen(folders):
    """A hash of the folders' files, since Snakemake sees only the times of the folders."""
    return state_of_folders(*folders)


def gpus():
    """The number of GPUs that a step requests: all that it uses at once."""
    device, devices = config["machine"]["device"], config["machine"]["devices"]
    if device == "cpu":
        return 0
    # A named GPU serves one step at a time: the step requests all GPUs, as with `auto`.
    is_all = ":" in device or devices == "auto"
    return max(1, gpus_here()) if is_all else devices


def cores(threads):
    """The cores of a step on a CPU: the threads of all its processes."""
    device, devices = config["machine"]["device"], config["machine"]["devices"]
    has_gpu = device != "cpu" and gpus_here()
    return threads if has_gpu or devices == "auto" else threads * devices


def masks_to_train_on(wildcards):
    """Pseudo masks, or ground truth for the fully supervised upper bound only."""
    if wildcards.method == names.SUPERVISED:
        return "data/SegmentationClass"
    return f"results/seed{wildcards.seed}/{wildcards.method}/pseudo"


def classifier_of_method(wildcards):
    """The classifier whose maps a method reads."""
    classifier = names.METHODS[wildcards.method].classifier
    return f"results/seed{wildcards.seed}/{classifier}/classifier.pt"


def classifier_of_cams(wildcards):
    """The classifier of a run's maps; the upper bound has none."""
    return [] if wildcards.method == names.SUPERVISED else classifier_of_method(wildcards)


def clusters_of_method(wildcards):
    """The clusters from which a method reads maps; others than LPCAM have none."""
    if wildcards.method not in names.CLUSTERED:
        return []
    return f"results/seed{wildcards.seed}/{wildcards.method}/clusters.pt"


def classifier_of_stage_one(wildcards):
    """The classifier that is trained on."""
    training = names.METHODS[wildcards.method].training
    return f"results/seed{wildcards.seed}/{training}/classifier.pt"


def maps(pattern):
    """A file or folder of a run's maps; the upper bound has none."""
    return lambda wildcards: (
        [] if wildcards.method == names.SUPERVISED else pattern.format(**wildcards)
    )


def maps_of_cam(pattern):
    """A file or folder of CAM's maps, to compare others with; CAM and the upper bound have none."""
    return lambda wildcards: (
        []
        if wildcards.method in ("cam", names.SUPERVISED) or "cam" not in config["methods"]
        else pattern.format(**wildcards)
    )


def stamps(name):
    """The stamps of a step's shards, which come before its last job; none for one shard."""
    count = NUMBERS.machine.shards
    numbers = range(1, count + 1) if count > 1 else []
    folder = "results/seed{seed}/{method}/shards"
    return [f"{folder}/{name}.{number}-of-{count}" for number in numbers]


def figures(name, category, file):
    """A folder of figures, one entry each in the report."""
    return report(
        directory(f"results/figures/{name}"),
        patterns=[file],
        caption=f"workflow/report/{name}.rst",
        category=category,
        labels=lambda wildcards: {"figure": wildcards.figure.replace("-", " ")},
    )


def closing_words():
    """The last line of a run without errors: what it made, of all that the experiment has."""
    settings = workflow.dag_settings
    is_part = settings.until or settings.omit_from or set(settings.targets) - {"all"}
    if workflow.touch:
        return "Nothing was made: --touch renews times only."
    if is_part:
        return "The steps asked for are done; `snakemake --cores all` runs all others."
    return "Everything lies in results/; `make report` makes one page of it: results/report.html."


def words_on_error():
    """Bring back what a failed step had made before, and say so."""
    try:
        restored = previous.bring_back(workflow, BEFORE)
    except OSError as error:
        return f"Earlier outputs are in {previous.PREVIOUS}: {disk_sentence(error)}."
    previous.forget()
    if restored:
        return f"Outputs that a failed step had made before are back: {', '.join(restored)}."
    return "No earlier output of a failed step was there; a later run makes them."


def record_in_dvc():
    """Record the results of this run in DVC; an error there does not fail the run."""
    try:
        saved = read_params(Path("params.yaml")).values
        numbers_are_saved = with_effect(config) == with_effect(saved)
        if workflow.touch:
            print("DVC: nothing recorded: --touch makes nothing.")
        elif not numbers_are_saved:
            print("DVC: nothing recorded: this run's numbers are not those of params.yaml.")
        else:
            renew_logs()
            if not subprocess.call([sys.executable, "workflow/engines.py", "record"]):
                UNRECORDED.unlink(missing_ok=True)
    except UserError as error:
        print(f"DVC: nothing recorded: {error}")
    except OSError as error:
        print(f"DVC: nothing recorded: {disk_sentence(error)}, then run `make record`")
    except KeyboardInterrupt:
        print("DVC: nothing recorded: stopped; run `make record`")


def record_what_is_left():
    """Record, in a run that finds nothing to do, what an earlier one could not since it was killed.

    Snakemake calls no handler in such a run.
    """
    settings = workflow.execution_settings
    is_run = settings and not settings.no_hooks and not workflow.dryrun
    if is_run and workflow.is_main_process and UNRECORDED.exists():
        if any(workflow.dag.jobs) and not any(workflow.dag.needrun_jobs()):
            record_in_dvc()


def with_effect(values):
    """The numbers of all sections but those that change no result."""
    return {
        name: (
            {k: v for k, v in value.items() if k not in SPARED.get(name, ())}
            if isinstance(value, dict)
            else value
        )
        for name, value in values.items()
        if name not in ("watch", "feature_cache", "storage")
    }


def renew_logs():
    """Make this run's logs newer than the start times in Snakemake's metadata, as `record` expects.

    For a cluster job Snakemake stores the time at which it noticed the end as the start time.
    """
    now = time.time()
    for log in Path("logs").rglob("*.log"):
        if log.stat().st_mtime >= STARTED:
            os.utime(log, (now, now))
