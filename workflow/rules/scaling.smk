rule measure_scaling:
    input:
        points=f"{RESULTS}/points.parquet",
        exponents=every("exponents", "exponents"),
        comparisons=every("exponents", "comparisons"),
        distributions=every("exponents", "distributions"),
        cutoffs=every("exponents", "cutoffs"),
        moments=[path_of("moments", b) for b in BLOCKS.values()],
        shapes=[path_of("shapes", b) for b in BLOCKS.values()],
        susceptibility=expand(
            "{folder}/susceptibility/width={width}.parquet",
            folder=RESULTS,
            width=RUN.susceptibility.width,
        ),
    output:
        scaling=f"{RESULTS}/scaling/scaling.parquet",
        controls=f"{RESULTS}/scaling/controls.parquet",
    log:
        f"{RESULTS}/logs/measure_scaling.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_scaling.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("measure_scaling"),
        runtime=predicted_minutes("measure_scaling"),
    params:
        scaling={
            "criteria": RUN.criteria.model_dump(),
            "fit_points": RUN.susceptibility.fit_points,
            "sigma_b": RUN.susceptibility.sigma_b,
            "resamples": RUN.resamples,
        },
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.scaling"),
    message:
        "Scaling: cut-offs against width, depth and field; ridge; mean profiles; controls"
    script:
        "../../scripts/measure_scaling.py"


rule judge_claims:
    input:
        points=f"{RESULTS}/points.parquet",
        exponents=every("exponents", "exponents"),
        cutoffs=every("exponents", "cutoffs"),
        scaling=f"{RESULTS}/scaling/scaling.parquet",
        controls=f"{RESULTS}/scaling/controls.parquet",
        survival=expand(
            "{folder}/survival/width={width}.parquet",
            folder=RESULTS,
            width=RUN.survival.width,
        ),
        learning=expand(
            "{folder}/learning/width={width}/depth={depth}.parquet",
            folder=RESULTS,
            width=RUN.training.width,
            depth=RUN.training.depth,
        ),
        ranking=f"{RESULTS}/ranking/ranking.parquet",
        contests=f"{RESULTS}/ranking/contests.parquet",
        followed=f"{RESULTS}/followed/followed.parquet",
        advice=[
            f"{RESULTS}/initialisations/{task}/depth={depth}/advice.parquet"
            for task, depth in COMPARED
        ],
        architectures=[
            f"{RESULTS}/cascade_fits/{name}/architectures.parquet"
            for name in ARCHITECTURES
        ],
        classes=f"{RESULTS}/classes/classes.parquet",
        point_verdicts=f"{RESULTS}/classes/point_verdicts.parquet",
        definitions=f"{RESULTS}/classes/definitions.parquet",
        populations=[
            f"{RESULTS}/populations/{name}/populations.parquet" for name in POPULATIONS
        ],
        confusion=CONFUSIONS,
    output:
        verdicts=f"{RESULTS}/verdicts.parquet",
        summary=f"{RESULTS}/summary.md",
    log:
        f"{RESULTS}/logs/judge_claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_claims.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("judge_claims"),
        runtime=predicted_minutes("judge_claims"),
    params:
        judge={
            "criteria": RUN.criteria.model_dump(),
            "tolerance": RUN.criteria.tolerance,
            "depth_shift": RUN.criteria.depth_shift,
            "bias_split": RUN.learning.bias_split,
            "learnt_above": RUN.architectures.learnt_above,
        },
        fingerprint=fingerprint("quasicrit.stages.judge"),
    message:
        "Claims P1 to P8: verdicts and summary"
    script:
        "../../scripts/judge_claims.py"
