# Shards of the steps that work image by image, with `machine.shards` above 1. Each runs the script of
# its step with the paths of the step, fills a folder of its own (recam.steps.shards) and ends with a
# stamp. The step itself then finds its files there.


rule make_cams_shard:
    input:
        code=code("make_cams"),
        weak=WEAK,
        checkpoint=classifier_of_method,
        clusters=clusters_of_method,
    output:
        f"{RUN}/shards/cams.{{shard}}",
    log:
        "logs/seed{seed}/{method}/make_cams.{shard}.log",
    benchmark:
        "logs/seed{seed}/{method}/make_cams.{shard}.tsv"
    priority: 3
    threads: cores(config["machine"]["threads"])
    resources:
        gpu=GPU,
    params:
        make_cams=section("make_cams"),
        machine=section("machine"),
    shell:
        "python workflow/scripts/make_cams.py --data data --checkpoint {input.checkpoint}"
        " --prototypes {input.clusters} --cams results/seed{wildcards.seed}/{wildcards.method}/cams"
        " --manifest results/seed{wildcards.seed}/{wildcards.method}/cams.sha256"
        " --shard {output} --log {log}"
        " --method {wildcards.method} {params.machine} {params.make_cams}"


# Masks of confident pixels; the step trains on them.
rule train_irn_shard:
    input:
        code=code("train_irn"),
        weights=ancient(weights_file("train_irn")),
        weak=WEAK,
        cams=ancient(f"{RUN}/cams"),
        cams_manifest=f"{RUN}/cams.sha256",
    output:
        f"{RUN}/shards/irn_masks.{{shard}}",
    log:
        "logs/seed{seed}/{method}/train_irn.{shard}.log",
    benchmark:
        "logs/seed{seed}/{method}/train_irn.{shard}.tsv"
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
        "python workflow/scripts/train_irn.py --data data --cams {input.cams}"
        " --checkpoint results/seed{wildcards.seed}/{wildcards.method}/irn.pt"
        " --curve results/seed{wildcards.seed}/{wildcards.method}/irn_curve.csv"
        " --shard {output} --log {log} --random_seed {wildcards.seed}"
        " --refiner {params.make_pseudo__refiner} {params.machine} {params.train_irn}"


# The first round of make_pseudo propagates maps and counts their scores. The background score is that
# of all maps, so masks are cut in a second round.
rule spread_shard:
    input:
        code=code("make_pseudo"),
        weak=WEAK,
        cams=ancient(f"{RUN}/cams"),
        cams_manifest=f"{RUN}/cams.sha256",
        irn=f"{RUN}/irn.pt",
        classifier=classifier_of_method,
        weights=ancient(weights_of_affinities()),
        saliency=ancient(saliency()),
        saliency_manifest=saliency(".sha256"),
    output:
        f"{RUN}/shards/spread.{{shard}}",
    log:
        "logs/seed{seed}/{method}/spread.{shard}.log",
    benchmark:
        "logs/seed{seed}/{method}/spread.{shard}.tsv"
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
        " --masks results/seed{wildcards.seed}/{wildcards.method}/pseudo"
        " --scores results/seed{wildcards.seed}/{wildcards.method}/scores"
        " --manifest results/seed{wildcards.seed}/{wildcards.method}/pseudo.sha256"
        " results/seed{wildcards.seed}/{wildcards.method}/scores.sha256"
        " --cut results/seed{wildcards.seed}/{wildcards.method}/cut.json"
        " --picture results/seed{wildcards.seed}/{wildcards.method}/pseudo.png"
        " --shard {output} --log {log} {params.machine} {params.make_pseudo}"


rule make_pseudo_shard:
    input:
        code=code("make_pseudo"),
        weak=WEAK,
        cams=ancient(f"{RUN}/cams"),
        cams_manifest=f"{RUN}/cams.sha256",
        irn=f"{RUN}/irn.pt",
        classifier=classifier_of_method,
        weights=ancient(weights_of_affinities()),
        saliency=ancient(saliency()),
        saliency_manifest=saliency(".sha256"),
        maps=stamps("spread"),
    output:
        f"{RUN}/shards/pseudo.{{shard}}",
    log:
        "logs/seed{seed}/{method}/make_pseudo.{shard}.log",
    benchmark:
        "logs/seed{seed}/{method}/make_pseudo.{shard}.tsv"
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
        " --masks results/seed{wildcards.seed}/{wildcards.method}/pseudo"
        " --scores results/seed{wildcards.seed}/{wildcards.method}/scores"
        " --manifest results/seed{wildcards.seed}/{wildcards.method}/pseudo.sha256"
        " results/seed{wildcards.seed}/{wildcards.method}/scores.sha256"
        " --cut results/seed{wildcards.seed}/{wildcards.method}/cut.json"
        " --picture results/seed{wildcards.seed}/{wildcards.method}/pseudo.png"
        " --shard {output} --log {log} {params.machine} {params.make_pseudo}"


# Predictions alone; the step scores them.
rule evaluate_shard:
    input:
        code=code("evaluate"),
        weak=WEAK,
        truth=TRUTH,
        truth_manifest=TRUTH_MANIFEST,
        checkpoint=f"{RUN}/segmenter.pt",
        classifier=classifier_of_cams,
        cams=ancient(maps(f"{RUN}/cams")),
        scores=ancient(maps(f"{RUN}/scores")),
        cams_manifest=maps(f"{RUN}/cams.sha256"),
        scores_manifest=maps(f"{RUN}/scores.sha256"),
        cut=maps(f"{RUN}/cut.json"),
        pseudo=ancient(maps(f"{RUN}/pseudo")),
        pseudo_manifest=maps(f"{RUN}/pseudo.sha256"),
        cam_pseudo=ancient(maps_of_cam("results/seed{seed}/cam/pseudo")),
        cam_pseudo_manifest=maps_of_cam("results/seed{seed}/cam/pseudo.sha256"),
    output:
        f"{RUN}/shards/predictions.{{shard}}",
    log:
        "logs/seed{seed}/{method}/evaluate.{shard}.log",
    benchmark:
        "logs/seed{seed}/{method}/evaluate.{shard}.tsv"
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
        " --predictions results/seed{wildcards.seed}/{wildcards.method}/predictions"
        " --manifest results/seed{wildcards.seed}/{wildcards.method}/predictions.sha256"
        " --metrics results/seed{wildcards.seed}/{wildcards.method}/metrics.json"
        " --plots results/seed{wildcards.seed}/{wildcards.method}/per_class.csv"
        " results/seed{wildcards.seed}/{wildcards.method}/thresholds.csv"
        " results/seed{wildcards.seed}/{wildcards.method}/confusion.csv"
        " --counts results/seed{wildcards.seed}/{wildcards.method}/counts.csv"
        " --signs results/seed{wildcards.seed}/{wildcards.method}/signs.json"
        " --prediction results/seed{wildcards.seed}/{wildcards.method}/prediction.json"
        " --shard {output} --log {log} {params.machine} {params.evaluate}"
