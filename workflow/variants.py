"""CAM variants alone, with longer training and with ReCAM, in one table: `make variants`.

Each data set runs in a copy of the project, variants/NAME. Random seeds run one after another, so a
stopped run has the whole table of the first ones. A failed step stops only the methods that need
it; the table then lacks their rows. The same command continues.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
from copies import (
    ROOT,
    StoppedError,
    chosen,
    locked,
    numbers,
    origin,
    originals,
    prepare,
    recipe,
    run,
    runs_of,
)

from recam.catalogue.names import (
    CLUSTERED,
    METHODS,
    needs_class_tokens,
    needs_saliency,
    needs_texts,
)
from recam.core.errors import UserError
from recam.data.layout import MASKS, load_weak_split
from recam.io.atomic import write_text
from recam.pipeline.evaluation import GroundTruth, score_maps
from recam.pipeline.scoring import maps_of_run
from recam.report import charts
from recam.report.provenance import timings
from recam.report.replicates import RESULTS, scores_table
from recam.report.summary import Run, evaluated
from recam.report.variants import (
    COST,
    DATASETS,
    SALIENCY_OWNER,
    SEEDS,
    cost_of,
    methods_of,
    variants_figure,
    variants_in,
    variants_table,
)
from recam.runtime.progress import progress
from recam.steps.params import Experiment
from recam.steps.sections.evaluate import Evaluate

OUT = Path("variants")
CAPTION = "mIoU of each variant: mean and sample standard deviation over random seeds {}."
# Files of a run by stage; each stage needs those before it.
FILES = {
    "cams": ["cams.sha256"],
    "pseudo": ["irn.pt", "pseudo.sha256"],
    "seg": ["segmenter.pt", "metrics.json"],
}
SCORES = "maps.json"  # of a run without a segmenter, with the key of its inputs


def targets(methods: list[str], seed: int, until: str) -> list[str]:
    """The files of one random seed up to a stage, intermediate ones too.

    Snakemake ignores a missing intermediate file that is not among its targets.
    """
    parts = [METHODS[method] for method in methods]
    classifiers = dict.fromkeys(name for part in parts for name in (part.training, part.classifier))
    stages = list(FILES)[: list(FILES).index(until) + 1]
    files = [f"{name}/classifier.pt" for name in classifiers]
    files += [f"{method}/clusters.pt" for method in methods if method in CLUSTERED]
    files += [f"{m}/{file}" for m in methods for stage in stages for file in FILES[stage]]
    return [f"results/seed{seed}/{file}" for file in files]


def metrics_of(folder: Path, params: dict[str, Any], until: str) -> dict[Run, dict[str, Any]]:
    """The metrics of every finished run of a data set, by stage up to ``until``."""
    runs = runs_of(folder, params)
    if until == "seg":
        return {run: run.metrics() for run in evaluated(runs)}
    section = Experiment.model_validate(params).evaluate
    made = [run for run in runs if (run.folder / FILES[until][-1]).is_file()]
    scored = progress(made, total=len(made), what=f"score {folder.name}", unit="run")
    return {run: scored_maps(run, folder / "data", section, until) for run in scored}


def scored_maps(run: Run, data: Path, section: Evaluate, until: str) -> dict[str, Any]:
    """The scores of a run's maps, of its refined ones too if ``until`` is pseudo.

    They are those of `evaluate`, kept beside the maps until maps, ground truth or section change.
    """
    stages = ["cams", "scores"][: 1 + (until == "pseudo")]
    lists = [*(run.folder / f"{name}.sha256" for name in stages), data / f"{MASKS}.sha256"]
    content = [section.model_dump_json(), *(path.read_text(encoding="utf-8") for path in lists)]
    key = hashlib.sha256("\n".join(content).encode()).hexdigest()
    kept = run.folder / SCORES
    if kept.is_file() and (before := kept_scores(kept, key)):
        return before
    split = load_weak_split(data, section.maps_split)
    truth = GroundTruth(ids=split.ids, masks=data / MASKS, classes=split.classes)
    folders = [run.folder / name for name in stages]
    threshold = section.cams_threshold if section.threshold == "fixed" else None
    scores = folders[1] if len(folders) > 1 else None
    maps = maps_of_run(folders[0], scores, run.folder / "cut.json", threshold, split)
    metrics: dict[str, Any] = {}
    for stage, of_stage in maps.items():
        found = score_maps(of_stage.folder, truth, threshold=of_stage.threshold)
        metrics[stage] = found.metrics(threshold=of_stage.threshold)
        metrics[stage] |= {"saliency": of_stage.saliency} if of_stage.saliency else {}
    write_text(
        kept, json.dumps({"key": key, "metrics": metrics, "check": check_of(metrics)}) + "\n"
    )
    return metrics


def kept_scores(kept: Path, key: str) -> dict[str, Any]:
    """The scores under ``key``; empty where there are others or the file is damaged."""
    try:
        before = json.loads(kept.read_text(encoding="utf-8"))
        is_whole = before["check"] == check_of(before["metrics"])
        return before["metrics"] if is_whole and before["key"] == key else {}
    except (ValueError, LookupError, TypeError):
        return {}


def check_of(metrics: dict[str, Any]) -> str:
    """The checksum of scores, since a damaged file would pass for scores."""
    return hashlib.sha256(json.dumps(metrics).encode()).hexdigest()


def gather(out: Path, recipes: dict[str, dict[str, Any]], until: str) -> str:
    """Write the CSV of scores, that of time and memory, table and figure; return the table."""
    scores, costs = [pd.DataFrame(columns=RESULTS)], [pd.DataFrame(columns=COST)]
    for name, params in recipes.items():
        methods, seeds = params["methods"], params["random_seeds"]
        scores.append(scores_table(name, metrics_of(out / name, params, until)))
        parts = [METHODS[method] for method in methods]
        owners = {name for part in parts for name in (part.training, part.classifier, part.name)}
        owners |= {SALIENCY_OWNER} if params["make_pseudo"]["saliency"] == "ccam" else set()
        timed = timings(out / name / "logs", random_seeds=seeds, methods=sorted(owners))
        costs.append(cost_of(name, timed, methods))
    results, cost = (
        pd.concat([table for table in tables if len(table)] or tables) for tables in (scores, costs)
    )
    if results.empty:
        return "No method is finished yet.\n"
    write_text(out / "results.csv", results.to_csv(index=False))
    write_text(out / "cost.csv", cost.to_csv(index=False))
    found = ", ".join(str(seed) for seed in sorted(set(results["random_seed"])))
    charts.save(variants_figure(results), out / "figure.png", caption=CAPTION.format(found))
    write_text(out / "table.md", variants_table(results, cost))
    return (out / "table.md").read_text(encoding="utf-8")


def run_all(out: Path, recipes: dict[str, dict[str, Any]], until: str) -> list[str]:
    """Run what is not done yet, seed after seed; return a sentence for each failure."""
    failed: list[str] = []
    seeds = next(iter(recipes.values()))["random_seeds"]
    plan = [(seed, name) for seed in seeds for name in recipes]
    with locked(out) as lock:
        made_from = json.dumps(origin(), indent=2) + "\n"
        for name, params in recipes.items():  # all copies first: one recipe, whatever is edited
            prepare(out / name, params)
        for number, (seed, name) in enumerate(plan, start=1):
            print(f"{name}, random seed {seed}: run {number} of {len(plan)}", flush=True)
            methods = recipes[name]["methods"]
            try:
                run(out / name, lock, targets(methods, seed, until))
            except StoppedError as error:
                return [*failed, str(error)]
            except UserError as error:
                failed.append(f"random seed {seed}: {error}")
            write_text(out / name / "origin.json", made_from)
            if name == list(recipes)[-1] and number < len(plan):
                print(gather(out, recipes, until), flush=True)
    return failed


def main(arguments: list[str]) -> None:
    """Run, then write and print the table. Raises UserError after it if a run failed."""
    # No maps of saliency, no tokens in the default's network, no weights of CLIP.
    outside = (needs_saliency, needs_class_tokens, needs_texts)
    known = [name for name in variants_in(METHODS) if not any(needs(name) for needs in outside)]
    text = ",".join(known)
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default=",".join(DATASETS), help="data sets: shapes")
    parser.add_argument("--seeds", default=",".join(map(str, SEEDS)), help="random seeds: 0,1")
    parser.add_argument("--variants", default=text, help=f"methods without re-activation: {text}")
    parser.add_argument("--until", default="seg", choices=FILES, help="the last stage to run")
    parser.add_argument("--source", help="folder with a data set's originals: street=FOLDER")
    args = parser.parse_args(arguments)
    plain = [name for name, method in METHODS.items() if not method.reactivation]
    variants = chosen(args.variants, plain, option="--variants")
    seeds = numbers(args.seeds)
    methods = [m for variant in variants for m in methods_of(variant) if m in METHODS]
    sources = originals(args.source, DATASETS) if args.source else {}
    names = chosen(args.only, DATASETS)
    recipes = {
        name: recipe(name, seeds=seeds, source=sources.get(name), methods=methods) for name in names
    }
    failed = run_all(ROOT / OUT, recipes, args.until)
    print(gather(ROOT / OUT, recipes, args.until), end="")
    if failed:
        raise UserError("\n".join(failed))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
