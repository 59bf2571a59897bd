rule calibrate_class:
    output:
        bias=f"{RESULTS}/classes/bias/{{process}}.parquet",
    log:
        f"{RESULTS}/logs/calibrate_class/{{process}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/calibrate_class/{{process}}.tsv"
    wildcard_constraints:
        process="|".join(PROCESSES),
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=memory(1500),
        runtime=minutes(30),
    params:
        windows=class_windows(),
        events=RUN.classes.events,
        resamples=RUN.resamples,
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.classes"),
    message:
        "Class bias: {wildcards.process} on every window of the run"
    script:
        "../../scripts/calibrate_class.py"


rule confuse_class:
    input:
        biases=expand(rules.calibrate_class.output.bias, process=PROCESSES),
    output:
        confusion=f"{RESULTS}/classes/confusion/{{process}}.parquet",
    log:
        f"{RESULTS}/logs/confuse_class/{{process}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/confuse_class/{{process}}.tsv"
    wildcard_constraints:
        process="|".join([*PROCESSES, *IMPOSTORS]),
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=memory(1500),
        runtime=minutes(60),
    params:
        events=RUN.classes.confusion_events,
        replicates=RUN.classes.replicates,
        resamples=RUN.resamples,
        tolerance=RUN.criteria.tolerance,
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.classes"),
    message:
        "Confusion: {wildcards.process}"
    script:
        "../../scripts/confuse_class.py"


rule tabulate_confusion:
    input:
        confusion=expand(
            rules.confuse_class.output.confusion, process=[*PROCESSES, *IMPOSTORS]
        ),
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
        bias=expand(rules.calibrate_class.output.bias, process=PROCESSES),
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
        mem_mb=memory(1000),
        runtime=minutes(10),
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
        biases=expand(rules.calibrate_class.output.bias, process=PROCESSES),
    output:
        definitions=f"{RESULTS}/classes/definitions.parquet",
    log:
        f"{RESULTS}/logs/map_definitions.log",
    benchmark:
        f"{RESULTS}/benchmarks/map_definitions.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=memory(3000),
        runtime=minutes(60),
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
