rule judge_population:
    input:
        biases=BIASES,
        recording=lambda wildcards: recording_files(wildcards.population),
    output:
        populations=f"{RESULTS}/populations/{{population}}/populations.parquet",
        curves=f"{RESULTS}/populations/{{population}}/population_curves.parquet",
    log:
        f"{RESULTS}/logs/judge_population/{{population}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/judge_population/{{population}}.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("judge_population/{population}"),
        runtime=predicted_minutes("judge_population/{population}"),
    params:
        population=lambda wildcards: POPULATIONS[wildcards.population],
        resamples=RUN.resamples,
        tolerance=RUN.criteria.tolerance,
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.populations"),
    message:
        "Population of neurons: {wildcards.population}"
    script:
        "../../scripts/judge_population.py"
