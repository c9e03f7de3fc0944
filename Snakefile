# The experiment as a graph of steps. Its numbers are in params.yaml, its code in workflow/scripts.
from snakemake.utils import min_version

min_version("9.0")


include: "workflow/rules/common.smk"


check_place()
if os.path.exists("params.yaml"):  # before Snakemake reads it: the file must not run code
    read_strictly("params.yaml")


configfile: "params.yaml"


report: "workflow/report/first_page.rst"


NUMBERS = check_params()
atexit.register(record_what_is_left)
BEFORE = {}  # Snakemake's records of outputs that were there when the run began
check_source(NUMBERS)

# GPUs that a step requests. On one machine the number of GPUs limits the steps that run at once.
GPU = gpus()
if workflow.nodes is None and gpus_here():
    workflow.register_resource("gpu", gpus_here())

SEEDS = config["random_seeds"]
METHODS = config["methods"]
WITH_MAPS = [method for method in METHODS if method != names.SUPERVISED]
# Methods that differ by their read-out alone share one classifier.
CLASSIFIERS = list(dict.fromkeys(names.METHODS[method].classifier for method in WITH_MAPS))
# Classifiers of stage one; segmenters start from that of CAM.
TRAINED = list(
    dict.fromkeys(names.METHODS[method].training for method in [names.PLAIN, *WITH_MAPS])
)
RUN = "results/seed{seed}/{method}"

# Results shown in the picture: the first replicate of every method.
PICTURED = [
    *expand(f"{RUN}/{{folder}}", seed=SEEDS[0], method=WITH_MAPS, folder=["cams", "pseudo"]),
    *expand(f"{RUN}/predictions", seed=SEEDS[0], method=METHODS),
]

# Inputs allowed in training: images and image-level labels. Folders are ancient(): their times mean
# nothing, and a change of content shows in the list of checksums beside them.
WEAK = [
    ancient("data/JPEGImages"),
    ancient("data/ImageSets"),
    "data/labels.csv",
    "data/classes.txt",
    "data/images.sha256",
]
# Ground truth, for `evaluate`, the picture and the fully supervised upper bound only.
TRUTH = ancient("data/SegmentationClass")
TRUTH_MANIFEST = "data/SegmentationClass.sha256"


# Cluster nodes may have no network, so these steps run on the host of Snakemake.
localrules:
    download,
    embed_texts,


wildcard_constraints:
    seed=r"\d+",
    shard=r"\d+-of-\d+",
    method="|".join([*names.METHODS, names.SUPERVISED]),


rule download:
    input:
        code=code("download"),
        originals=ancient(own_folders()),
    # Real images and the user's maps stay in place: `data` holds links to them, and DVC keeps only
    # their checksums.
    output:
        **data_folders(),
        splits=directory("data/ImageSets"),
        labels="data/labels.csv",
        classes="data/classes.txt",
        manifest=[
            "data/images.sha256",
            "data/SegmentationClass.sha256",
            *["data/Saliency.sha256"] * bool(own_saliency()),
        ],
        check=expand(
            "data/check/{file}",
            file=["report.md", "classes.csv", "cooccurrence.csv", "faults.csv"],
        ),
    log:
        "logs/download.log",
    params:
        download=section("download"),
        seen=seen(own_folders()),
    shell:
        "python workflow/scripts/download.py --data data --check {output.check} --log {log} {params.download}"


# Only for methods of CLIP-ES: text vectors of the classes, so that no other step needs a text encoder.
rule embed_texts:
    input:
        code=code("embed_texts"),
        classes="data/classes.txt",
        files=ancient(files_of_texts()),
    output:
        texts="results/texts.pt",
    log:
        "logs/embed_texts.log",
    params:
        embed_texts=section("embed_texts"),
        seen=contents(files_of_texts()),
    shell:
        "python workflow/scripts/embed_texts.py --classes {input.classes} --texts {output.texts}"
        " --log {log} {params.embed_texts}"


# Of all ready steps the one with the most work after it starts first, by its `priority`.
rule train_cam:
    input:
        code=code("train_cam"),
        weights=ancient(weights_of_stage_one),
        weak=WEAK,
        saliency=ancient(saliency_to_learn()),
        saliency_manifest=saliency_to_learn(".sha256"),
        texts=texts_of_method,
    output:
        checkpoint="results/seed{seed}/{method}/classifier.pt",
        curve="results/seed{seed}/{method}/classifier_curve.csv",
    log:
        "logs/seed{seed}/{method}/train_cam.log",
    benchmark:
        "logs/seed{seed}/{method}/train_cam.tsv"
    wildcard_constraints:
        method="|".join(names.TRAININGS),
    priority: 5
    threads: cores(config["train_cam"]["threads"])
    resources:
        gpu=GPU,
    params:
        train_cam=section("train_cam"),
        seen=lambda wildcards: contents(weights_of_stage_one(wildcards)),
        machine__device=config["machine"]["device"],
        machine__devices=config["machine"]["devices"],
        machine__precision=config["machine"]["precision"],
    shell:
        "python workflow/scripts/train_cam.py --data data --saliency_maps {input.saliency}"
        " --texts {input.texts}"
        " --checkpoint {output.checkpoint} --curve {output.curve}"
        " --log {log} --method {wildcards.method} --random_seed {wildcards.seed}"
        " --device {params.machine__device} --devices {params.machine__devices}"
        " --precision {params.machine__precision} {params.train_cam}"


rule train_recam:
    input:
        code=code("train_recam"),
        weak=WEAK,
        cam=classifier_of_stage_one,
        saliency=ancient(saliency_to_learn()),
        saliency_manifest=saliency_to_learn(".sha256"),
    output:
        checkpoint="results/seed{seed}/{method}/classifier.pt",
        curve="results/seed{seed}/{method}/classifier_curve.csv",
    log:
        "logs/seed{seed}/{method}/train_recam.log",
    benchmark:
        "logs/seed{seed}/{method}/train_recam.tsv"
    wildcard_constraints:
        method="|".join(names.RETRAINED),
    priority: 4
    threads: cores(config["machine"]["threads"])
    resources:
        gpu=GPU,
    params:
        train_recam=section("train_recam"),
        machine=section("machine"),
    shell:
        "python workflow/scripts/train_recam.py --data data --cam {input.cam}"
        " --saliency_maps {input.saliency} --checkpoint {output.checkpoint}"
        " --curve {output.curve} --log {log} --method {wildcards.method}"
        " --random_seed {wildcards.seed} {params.machine} {params.train_recam}"


rule make_clusters:
    input:
        code=code("make_clusters"),
        weak=WEAK,
        checkpoint=classifier_of_method,
    output:
        clusters="results/seed{seed}/{method}/clusters.pt",
    log:
        "logs/seed{seed}/{method}/make_clusters.log",
    benchmark:
        "logs/seed{seed}/{method}/make_clusters.tsv"
    wildcard_constraints:
        method="|".join(names.CLUSTERED),
    priority: 3
    threads: config["machine"]["threads"]
    resources:
        gpu=min(GPU, 1),
    params:
        make_clusters=section("make_clusters"),
        machine=section("machine"),
    shell:
        "python workflow/scripts/make_clusters.py --data data --checkpoint {input.checkpoint}"
        " --prototypes {output.clusters} --log {log} --method {wildcards.method}"
        " --random_seed {wildcards.seed} {params.machine} {params.make_clusters}"


rule make_cams:
    input:
        code=code("make_cams"),
        weak=WEAK,
        checkpoint=classifier_of_method,
        clusters=clusters_of_method,
        shards=stamps("cams"),
    output:
        cams=directory("results/seed{seed}/{method}/cams"),
        manifest="results/seed{seed}/{method}/cams.sha256",
    log:
        "logs/seed{seed}/{method}/make_cams.log",
    benchmark:
        "logs/seed{seed}/{method}/make_cams.tsv"
    priority: 3
    threads: cores(config["machine"]["threads"])
    resources:
        gpu=GPU,
    params:
        make_cams=section("make_cams"),
        machine=section("machine"),
    shell:
        "python workflow/scripts/make_cams.py --data data --checkpoint {input.checkpoint}"
        " --prototypes {input.clusters} --cams {output.cams} --manifest {output.manifest} --log {log}"
        " --method {wildcards.method} {params.machine} {params.make_cams}"


# Only with `make_pseudo.saliency: ccam`: maps of objects for all methods, learned without labels.
rule train_saliency:
    input:
        code=code("train_saliency"),
        weights=ancient(weights_file("train_cam")),
        weak=WEAK,
    output:
        checkpoint="results/seed{seed}/saliency/ccam.pt",
        curve="results/seed{seed}/saliency/ccam_curve.csv",
        maps=directory("results/seed{seed}/saliency/maps"),
        manifest="results/seed{seed}/saliency/maps.sha256",
    log:
        "logs/seed{seed}/saliency/train_saliency.log",
    benchmark:
        "logs/seed{seed}/saliency/train_saliency.tsv"
    priority: 3
    threads: cores(config["machine"]["threads"])
    resources:
        gpu=GPU,
    params:
        train_saliency=section("train_saliency"),
        seen=contents(weights_file("train_cam")),
        train_cam__backbone=config["train_cam"]["backbone"],
        train_cam__weights=config["train_cam"]["weights"],
        train_cam__output_stride=config["train_cam"]["output_stride"],
        make_cams__split=config["make_cams"]["split"],
        machine=section("machine"),
    shell:
        "python workflow/scripts/train_saliency.py --data data --checkpoint {output.checkpoint}"
        " --curve {output.curve} --maps {output.maps} --manifest {output.manifest} --log {log}"
        " --random_seed {wildcards.seed} --split {params.make_cams__split}"
        " --backbone {params.train_cam__backbone} --weights {params.train_cam__weights}"
        " --output_stride {params.train_cam__output_stride} {params.machine} {params.train_saliency}"


# Writes a placeholder if the refiner needs no network, so that all refiners share one graph.
rule train_irn:
    input:
        code=code("train_irn"),
        weights=ancient(weights_file("train_irn")),
        weak=WEAK,
        cams=ancient("results/seed{seed}/{method}/cams"),
        cams_manifest="results/seed{seed}/{method}/cams.sha256",
        shards=stamps("irn_masks"),
    output:
        checkpoint="results/seed{seed}/{method}/irn.pt",
        curve="results/seed{seed}/{method}/irn_curve.csv",
    log:
        "logs/seed{seed}/{method}/train_irn.log",
    benchmark:
        "logs/seed{seed}/{method}/train_irn.tsv"
    priority: 2
    threads: cores(config["machine"]["threads"])
    resources:
        gpu=GPU,
    params:
        train_irn=section("train_irn"),
        seen=contents(weights_file("train_irn")),
        make_pseudo__refiner=config["make_pseudo"]["refiner"],
        machine=section("machine"),
    shell:
        "python workflow/scripts/train_irn.py --data data --cams {input.cams} --checkpoint {output.checkpoint}"
        " --curve {output.curve} --log {log} --random_seed {wildcards.seed}"
        " --refiner {params.make_pseudo__refiner} {params.machine} {params.train_irn}"


rule make_pseudo:
    input:
        code=code("make_pseudo"),
        weak=WEAK,
        cams=ancient("results/seed{seed}/{method}/cams"),
        cams_manifest="results/seed{seed}/{method}/cams.sha256",
        irn="results/seed{seed}/{method}/irn.pt",
        classifier=classifier_of_method,  # only affinities read it
        weights=ancient(weights_of_affinities()),
        saliency=ancient(saliency()),
        saliency_manifest=saliency(".sha256"),
        shards=stamps("pseudo"),
    output:
        masks=directory("results/seed{seed}/{method}/pseudo"),
        scores=directory("results/seed{seed}/{method}/scores"),
        manifest=[
            "results/seed{seed}/{method}/pseudo.sha256",
            "results/seed{seed}/{method}/scores.sha256",
        ],
        cut="results/seed{seed}/{method}/cut.json",
        picture="results/seed{seed}/{method}/pseudo.png",
    log:
        "logs/seed{seed}/{method}/make_pseudo.log",
    benchmark:
        "logs/seed{seed}/{method}/make_pseudo.tsv"
    priority: 2
    threads: cores(config["machine"]["threads"])
    resources:
        gpu=GPU,
    params:
        make_pseudo=section("make_pseudo"),
        seen=contents(weights_of_affinities()),
        machine=section("machine"),
    shell:
        "python workflow/scripts/make_pseudo.py --data data --cams {input.cams} --irn {input.irn}"
        " --classifier {input.classifier} --saliency_maps {input.saliency}"
        " --masks {output.masks} --scores {output.scores} --manifest {output.manifest}"
        " --cut {output.cut} --picture {output.picture} --log {log} {params.machine} {params.make_pseudo}"


rule train_seg:
    input:
        code=code("train_seg"),
        weights=ancient(weights_file("train_seg")),
        weak=WEAK,
        masks=ancient(masks_to_train_on),
        masks_manifest=lambda wildcards: f"{masks_to_train_on(wildcards)}.sha256",
        classifier="results/seed{seed}/cam/classifier.pt",
    output:
        checkpoint="results/seed{seed}/{method}/segmenter.pt",
        curve="results/seed{seed}/{method}/segmenter_curve.csv",
    log:
        "logs/seed{seed}/{method}/train_seg.log",
    benchmark:
        "logs/seed{seed}/{method}/train_seg.tsv"
    priority: 1
    threads: cores(config["machine"]["threads"])
    resources:
        gpu=GPU,
    params:
        train_seg=section("train_seg"),
        seen=contents(weights_file("train_seg")),
        machine=section("machine"),
    shell:
        "python workflow/scripts/train_seg.py --data data --masks {input.masks} --classifier {input.classifier}"
        " --checkpoint {output.checkpoint} --curve {output.curve} --log {log}"
        " --random_seed {wildcards.seed} {params.machine} {params.train_seg}"


rule evaluate:
    input:
        code=code("evaluate"),
        weak=WEAK,
        truth=TRUTH,
        truth_manifest=TRUTH_MANIFEST,
        checkpoint="results/seed{seed}/{method}/segmenter.pt",
        classifier=classifier_of_cams,
        cams=ancient(maps("results/seed{seed}/{method}/cams")),
        scores=ancient(maps("results/seed{seed}/{method}/scores")),
        cams_manifest=maps("results/seed{seed}/{method}/cams.sha256"),
        scores_manifest=maps("results/seed{seed}/{method}/scores.sha256"),
        cut=maps("results/seed{seed}/{method}/cut.json"),
        pseudo=ancient(maps("results/seed{seed}/{method}/pseudo")),
        pseudo_manifest=maps("results/seed{seed}/{method}/pseudo.sha256"),
        cam_pseudo=ancient(maps_of_cam("results/seed{seed}/cam/pseudo")),
        cam_pseudo_manifest=maps_of_cam("results/seed{seed}/cam/pseudo.sha256"),
        shards=stamps("predictions"),
    output:
        predictions=directory("results/seed{seed}/{method}/predictions"),
        manifest="results/seed{seed}/{method}/predictions.sha256",
        run_metrics="results/seed{seed}/{method}/metrics.json",
        tables=[
            "results/seed{seed}/{method}/per_class.csv",
            "results/seed{seed}/{method}/thresholds.csv",
            "results/seed{seed}/{method}/confusion.csv",
        ],
        counts="results/seed{seed}/{method}/counts.csv",
        signs="results/seed{seed}/{method}/signs.json",
        prediction="results/seed{seed}/{method}/prediction.json",
    log:
        "logs/seed{seed}/{method}/evaluate.log",
    benchmark:
        "logs/seed{seed}/{method}/evaluate.tsv"
    threads: cores(config["machine"]["threads"])
    resources:
        gpu=GPU,
    params:
        evaluate=section("evaluate"),
        machine=section("machine"),
    shell:
        "python workflow/scripts/evaluate.py --data data --truth {input.truth} --checkpoint {input.checkpoint}"
        " --classifier {input.classifier} --cams {input.cams} --scores {input.scores} --cut {input.cut}"
        " --pseudo {input.pseudo} --cam_pseudo {input.cam_pseudo}"
        " --predictions {output.predictions}"
        " --manifest {output.manifest} --metrics {output.run_metrics} --plots {output.tables}"
        " --counts {output.counts} --signs {output.signs} --prediction {output.prediction}"
        " --log {log} {params.machine} {params.evaluate}"


# Jobs that share the steps above, image by image.
if NUMBERS.machine.shards > 1:

    include: "workflow/rules/shards.smk"


rule summarize:
    input:
        code=code("summarize"),
        weak=WEAK,
        truth=TRUTH,
        truth_manifest=TRUTH_MANIFEST,
        runs=expand(f"{RUN}/metrics.json", seed=SEEDS, method=METHODS),
        signs=expand(f"{RUN}/signs.json", seed=SEEDS, method=METHODS),
        tables=expand(
            f"{RUN}/{{table}}.csv",
            seed=SEEDS,
            method=METHODS,
            table=["per_class", "thresholds", "confusion", "segmenter_curve"],
        ),
        classifier_curves=expand(f"{RUN}/classifier_curve.csv", seed=SEEDS, method=CLASSIFIERS),
        irn_curves=expand(f"{RUN}/irn_curve.csv", seed=SEEDS, method=WITH_MAPS),
        pictured=ancient(PICTURED),
        pictured_manifests=[f"{folder}.sha256" for folder in PICTURED],
    output:
        metrics="results/metrics.json",
        details="results/details.csv",
        table="results/summary.md",
        trust="results/trust.json",
        picture="results/picture.png",
        plots=[
            "results/per_class.csv",
            "results/thresholds.csv",
            "results/confusion.csv",
            "results/curves.csv",
        ],
    log:
        "logs/summarize.log",
    params:
        summarize=section("summarize"),
    shell:
        "python workflow/scripts/summarize.py --data data --truth {input.truth} --runs {input.runs}"
        " --metrics {output.metrics} --details {output.details} --table {output.table}"
        " --trust {output.trust}"
        " --picture {output.picture}"
        " --plots {output.plots} --log {log} {params.summarize}"


rule draw:
    input:
        code=code("draw"),
        weak=WEAK,
        truth=TRUTH,
        truth_manifest=TRUTH_MANIFEST,
        runs=expand(f"{RUN}/metrics.json", seed=SEEDS, method=METHODS),
        signs=expand(f"{RUN}/signs.json", seed=SEEDS, method=METHODS),
        tables=expand(
            f"{RUN}/{{table}}.csv",
            seed=SEEDS,
            method=METHODS,
            table=["counts", "thresholds", "confusion", "segmenter_curve"],
        ),
        classifier_curves=expand(f"{RUN}/classifier_curve.csv", seed=SEEDS, method=CLASSIFIERS),
        irn_curves=expand(f"{RUN}/irn_curve.csv", seed=SEEDS, method=WITH_MAPS),
        pictured=ancient(PICTURED),
        pictured_manifests=[f"{folder}.sha256" for folder in PICTURED],
        picture="results/picture.png",
    output:
        answer="results/figures/answer.html",
        maps=figures("maps", "Maps", file="{figure}.jpg"),
        pseudo=figures("pseudo", "Pseudo masks", file="{figure}.jpg"),
        segmentation=figures("segmentation", "Segmentation", file="{figure}.jpg"),
        curves=figures("curves", "Curves", file="{figure}.png"),
        errors=figures("errors", "Errors", file="{figure}.png"),
    log:
        "logs/draw.log",
    params:
        draw=section("draw"),
    shell:
        "python workflow/scripts/draw.py --data data --truth {input.truth} --runs {input.runs}"
        " --picture {input.picture} --answer {output.answer}"
        " --figures {output.maps} {output.pseudo} {output.segmentation} {output.curves}"
        " {output.errors} --log {log} {params.draw}"


# Cost and provenance for `make report`. Not part of the experiment, since both differ between
# machines and runs.
rule describe:
    output:
        cost=report(
            "results/report/cost.png",
            caption="workflow/report/cost.rst",
            category="Cost",
            labels={"figure": "time and memory"},
        ),
        provenance=report(
            "results/report/provenance.html",
            caption="workflow/report/provenance.rst",
            category="Provenance",
            labels={"figure": "numbers, versions, checksums"},
        ),
    log:
        "logs/describe.log",
    shell:
        "python workflow/report.py describe > {log}"


# Every output of every step, not only the last: Snakemake ignores a missing intermediate file, and
# after a failed step the next run would take a stale end result for up to date.
rule all:
    default_target: True
    input:
        rules.download.output,
        rules.embed_texts.output if any(map(names.needs_texts, METHODS)) else [],
        expand(rules.train_cam.output, seed=SEEDS, method=TRAINED),
        expand(
            rules.train_recam.output,
            seed=SEEDS,
            method=[method for method in CLASSIFIERS if method in names.RETRAINED],
        ),
        expand(
            rules.make_clusters.output,
            seed=SEEDS,
            method=[method for method in METHODS if method in names.CLUSTERED],
        ),
        expand(rules.make_cams.output, seed=SEEDS, method=WITH_MAPS),
        expand(
            rules.train_saliency.output,
            seed=SEEDS if config["make_pseudo"]["saliency"] == "ccam" else [],
        ),
        expand(rules.train_irn.output, seed=SEEDS, method=WITH_MAPS),
        expand(rules.make_pseudo.output, seed=SEEDS, method=WITH_MAPS),
        expand(rules.train_seg.output, seed=SEEDS, method=METHODS),
        expand(rules.evaluate.output, seed=SEEDS, method=METHODS),
        rules.summarize.output,
        rules.draw.output,


onstart:
    check_networks(NUMBERS)
    UNRECORDED.touch()
    warn_of_source(NUMBERS)
    BEFORE.update(previous.keep(workflow))


onsuccess:
    previous.forget()
    record_in_dvc()
    print(closing_words())


onerror:
    print(words_on_error())
    record_in_dvc()
