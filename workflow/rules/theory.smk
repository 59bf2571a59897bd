rule solve_theory:
    output:
        diagram=f"{RESULTS}/theory/phase_diagram.parquet",
        lines=f"{RESULTS}/theory/lines.parquet",
    log:
        f"{RESULTS}/logs/solve_theory.log",
    benchmark:
        f"{RESULTS}/benchmarks/solve_theory.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("solve_theory"),
        runtime=predicted_minutes("solve_theory"),
    params:
        theory=RUN.theory.model_dump(),
        fingerprint=fingerprint("quasicrit.stages.theory"),
    message:
        "Theory: mean-field phase diagram, ridges, edge of chaos, J0(L)"
    script:
        "../../scripts/solve_theory.py"


rule list_points:
    output:
        points=f"{RESULTS}/points.parquet",
    log:
        f"{RESULTS}/logs/list_points.log",
    benchmark:
        f"{RESULTS}/benchmarks/list_points.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("list_points"),
        runtime=predicted_minutes("list_points"),
    params:
        points=[p.params() for p in POINTS],
        fingerprint=fingerprint("quasicrit.stages.points"),
    message:
        f"Points: {len(POINTS)} points of parameter space spelled out"
    script:
        "../../scripts/list_points.py"


rule measure_susceptibility:
    output:
        chi=f"{RESULTS}/susceptibility/width={{width}}.parquet",
    log:
        f"{RESULTS}/logs/measure_susceptibility/width={{width}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_susceptibility/width={{width}}.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("measure_susceptibility/width={width}"),
        runtime=predicted_minutes("measure_susceptibility/width={width}"),
    params:
        susceptibility=RUN.susceptibility.model_dump(exclude={"width", "fit_points"}),
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.susceptibility"),
    message:
        "Susceptibility at finite width: N = {wildcards.width}"
    script:
        "../../scripts/measure_susceptibility.py"


rule measure_survival:
    output:
        survival=f"{RESULTS}/survival/width={{width}}.parquet",
    log:
        f"{RESULTS}/logs/measure_survival/width={{width}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/measure_survival/width={{width}}.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("measure_survival/width={width}"),
        runtime=predicted_minutes("measure_survival/width={width}"),
    params:
        survival={
            **RUN.survival.model_dump(exclude={"width"}),
            "m0": RUN.protocols.weak_m0,
        },
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.survival"),
    message:
        "Survival of weak seeds: N = {wildcards.width}"
    script:
        "../../scripts/measure_survival.py"
