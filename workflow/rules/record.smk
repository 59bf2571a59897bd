rule propagate_signals:
    output:
        activity=f"{RESULTS}/activity/{PATH}",
    log:
        f"{RESULTS}/logs/propagate_signals/{PATH}.log",
    benchmark:
        f"{RESULTS}/benchmarks/propagate_signals/{PATH}.tsv"
    wildcard_constraints:
        source="gaussian|tabulated|gram|weights|process",
    priority: 10
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        **gpu("propagate_signals"),
        mem_mb=predicted_memory(f"propagate_signals/{PATH}"),
        runtime=predicted_minutes(f"propagate_signals/{PATH}"),
    params:
        block=block_params,
        seed=RUN.seed,
        device=lambda wildcards: device_of("propagate_signals", wildcards.source),
        group_size=RUN.group_size,
        fingerprint=fingerprint("quasicrit.stages.propagate"),
    message:
        "Signals: {wildcards.source}, protocol {wildcards.protocol}, N = {wildcards.width}, L = {wildcards.depth}, "
        "block {wildcards.block}"
    script:
        "../../scripts/propagate_signals.py"


rule record_units:
    output:
        activations=f"{RESULTS}/activations/{PATH}",
    log:
        f"{RESULTS}/logs/record_units/{PATH}.log",
    benchmark:
        f"{RESULTS}/benchmarks/record_units/{PATH}.tsv"
    wildcard_constraints:
        source="gaussian|weights",
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        **gpu("record_units"),
        mem_mb=predicted_memory(f"record_units/{PATH}"),
        runtime=predicted_minutes(f"record_units/{PATH}"),
    params:
        block=block_params,
        seed=RUN.seed,
        device=lambda wildcards: device_of("record_units", wildcards.source),
        group_size=RUN.group_size,
        fingerprint=fingerprint("quasicrit.stages.propagate"),
    message:
        "Unit activations: {wildcards.source}, N = {wildcards.width}, L = {wildcards.depth}, block {wildcards.block}"
    script:
        "../../scripts/record_units.py"


LEARNED_PATH = "S/width={width}/depth={depth}/block=0.parquet"


rule record_networks:
    input:
        initial=f"{RESULTS}/networks/initial/width={{width}}/depth={{depth}}.safetensors",
        trained=f"{RESULTS}/networks/trained/width={{width}}/depth={{depth}}.safetensors",
        data=data_files(RUN.training.task),
    output:
        initial=f"{RESULTS}/activity/initial/{LEARNED_PATH}",
        trained=f"{RESULTS}/activity/trained/{LEARNED_PATH}",
    log:
        f"{RESULTS}/logs/record_networks/width={{width}}_depth={{depth}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/record_networks/width={{width}}_depth={{depth}}.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        **gpu("record_networks"),
        mem_mb=predicted_memory("record_networks/width={width}_depth={depth}"),
        runtime=predicted_minutes("record_networks/width={width}_depth={depth}"),
    params:
        initial=lambda wildcards: learned_params("initial", wildcards),
        trained=lambda wildcards: learned_params("trained", wildcards),
        task=task_params(),
        seed=RUN.seed,
        device=device_of("record_networks"),
        group_size=RUN.group_size,
        fingerprint=fingerprint("quasicrit.stages.train"),
    message:
        "Recording before and after training: N = {wildcards.width}, L = {wildcards.depth}"
    script:
        "../../scripts/record_networks.py"
