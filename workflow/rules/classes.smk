rule calibrate_classes:
    output:
        bias=f"{RESULTS}/classes/bias/part={{part}}.parquet",
    log:
        f"{RESULTS}/logs/calibrate_classes/part={{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/calibrate_classes/part={{part}}.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("calibrate_classes/part={part}"),
        runtime=predicted_minutes("calibrate_classes/part={part}"),
    params:
        processes=lambda wildcards: CALIBRATED[int(wildcards.part)],
        windows=class_windows(),
        events=RUN.classes.events,
        resamples=RUN.resamples,
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.classes"),
    message:
        "Class bias: reference processes of part {wildcards.part} on every window of the run"
    script:
        "../../scripts/calibrate_classes.py"


rule confuse_classes:
    input:
        biases=BIASES,
    output:
        confusion=f"{RESULTS}/classes/confusion/part={{part}}.parquet",
    log:
        f"{RESULTS}/logs/confuse_classes/part={{part}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/confuse_classes/part={{part}}.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("confuse_classes/part={part}"),
        runtime=predicted_minutes("confuse_classes/part={part}"),
    params:
        processes=lambda wildcards: CONFUSED[int(wildcards.part)],
        events=RUN.classes.confusion_events,
        replicates=RUN.classes.replicates,
        resamples=RUN.resamples,
        tolerance=RUN.criteria.tolerance,
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.classes"),
    message:
        "Confusion: processes of part {wildcards.part}"
    script:
        "../../scripts/confuse_classes.py"


rule tabulate_confusion:
    input:
        confusion=CONFUSIONS,
    output:
        text=f"{RESULTS}/classes/confusion.md",
    log:
        f"{RESULTS}/logs/tabulate_confusion.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate_confusion.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        fingerprint=fingerprint("quasicrit.stages.class_summary"),
    message:
        "Confusion matrix as a table"
    script:
        "../../scripts/tabulate_confusion.py"


rule classify_points:
    input:
        points=f"{RESULTS}/points.parquet",
        exponents=every("exponents", "exponents"),
        covariances=every("exponents", "covariances"),
        comparisons=every("exponents", "comparisons"),
        cutoffs=every("exponents", "cutoffs"),
        controls=f"{RESULTS}/scaling/controls.parquet",
        scaling=f"{RESULTS}/scaling/scaling.parquet",
        definitions=f"{RESULTS}/classes/definitions.parquet",
        bias=BIASES,
    output:
        classes=f"{RESULTS}/classes/classes.parquet",
        verdicts=f"{RESULTS}/classes/point_verdicts.parquet",
    log:
        f"{RESULTS}/logs/classify_points.log",
    benchmark:
        f"{RESULTS}/benchmarks/classify_points.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("classify_points"),
        runtime=predicted_minutes("classify_points"),
    params:
        judge={
            "tolerance": RUN.criteria.tolerance,
            "saturates_below": RUN.criteria.saturates_below,
        },
        fingerprint=fingerprint("quasicrit.stages.classes"),
    message:
        "Classes and evidence of every point"
    script:
        "../../scripts/classify_points.py"


rule map_definitions:
    input:
        activity=[path_of("activity", b) for b in DEFINED],
        biases=BIASES,
    output:
        definitions=f"{RESULTS}/classes/definitions.parquet",
    log:
        f"{RESULTS}/logs/map_definitions.log",
    benchmark:
        f"{RESULTS}/benchmarks/map_definitions.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("map_definitions"),
        runtime=predicted_minutes("map_definitions"),
    params:
        definitions={
            "blocks": [b.params() for b in DEFINED],
            "thresholds": RUN.definitions.thresholds,
            "windows": other_windows(),
            "resamples": RUN.resamples,
            "tolerance": RUN.criteria.tolerance,
        },
        group_size=RUN.group_size,
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.definitions"),
    message:
        "The map of definitions"
    script:
        "../../scripts/map_definitions.py"
