rule train_networks:
    input:
        data=data_files(RUN.training.task),
    output:
        initial=f"{RESULTS}/networks/initial/width={{width}}/depth={{depth}}.safetensors",
        trained=f"{RESULTS}/networks/trained/width={{width}}/depth={{depth}}.safetensors",
        learning=f"{RESULTS}/learning/width={{width}}/depth={{depth}}.parquet",
    log:
        f"{RESULTS}/logs/train_networks/width={{width}}_depth={{depth}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_networks/width={{width}}_depth={{depth}}.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        **gpu("train_networks"),
        mem_mb=predicted_memory("train_networks/width={width}_depth={depth}"),
        runtime=predicted_minutes("train_networks/width={width}_depth={depth}"),
    params:
        training=training_params,
        seed=RUN.seed,
        device=device_of("train_networks"),
        fingerprint=fingerprint("quasicrit.stages.train"),
    message:
        f"Training on {RUN.training.task}: "
        "N = {wildcards.width}, L = {wildcards.depth}"
    script:
        "../../scripts/train_networks.py"
