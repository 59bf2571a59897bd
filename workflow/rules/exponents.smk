rule fit_exponents:
    input:
        events=kind_files("events"),
        moments=kind_files("moments"),
    output:
        exponents=f"{RESULTS}/exponents/{{source}}/{{protocol}}/exponents.parquet",
        covariances=f"{RESULTS}/exponents/{{source}}/{{protocol}}/covariances.parquet",
        comparisons=f"{RESULTS}/exponents/{{source}}/{{protocol}}/comparisons.parquet",
        distributions=f"{RESULTS}/exponents/{{source}}/{{protocol}}/distributions.parquet",
        cutoffs=f"{RESULTS}/exponents/{{source}}/{{protocol}}/cutoffs.parquet",
    log:
        f"{RESULTS}/logs/fit_exponents/{{source}}_{{protocol}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_exponents/{{source}}_{{protocol}}.tsv"
    priority: 30
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("fit_exponents/{source}_{protocol}"),
        runtime=predicted_minutes("fit_exponents/{source}_{protocol}"),
    params:
        points=kind_params,
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.exponents"),
    message:
        "Exponents and cut-offs: {wildcards.source}, protocol {wildcards.protocol}"
    script:
        "../../scripts/fit_exponents.py"
