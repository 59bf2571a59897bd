NETWORK = "{network}"
DEFINED_NETWORKS = [
    (definition, name)
    for name, entry in ARCHITECTURES.items()
    for definition in entry["definitions"]
]


rule train_architecture:
    input:
        data=lambda wildcards: data_files(ARCHITECTURES[wildcards.network]["task"]),
    output:
        states=f"{RESULTS}/architectures/{NETWORK}/states.safetensors",
        learning=f"{RESULTS}/architectures/{NETWORK}/architecture_learning.parquet",
    log:
        f"{RESULTS}/logs/train_architecture/{NETWORK}.log",
    benchmark:
        f"{RESULTS}/benchmarks/train_architecture/{NETWORK}.tsv"
    priority: 20
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        **gpu("train_architecture"),
        mem_mb=predicted_memory(f"train_architecture/{NETWORK}"),
        runtime=predicted_minutes(f"train_architecture/{NETWORK}"),
    params:
        architecture=lambda wildcards: trained_params(wildcards.network),
        data=lambda wildcards: data_params(ARCHITECTURES[wildcards.network]["task"]),
        seed=RUN.seed,
        device=device_of("train_architecture"),
        fingerprint=fingerprint("quasicrit.stages.architectures"),
    message:
        "Architecture {wildcards.network}: initialised and trained"
    script:
        "../../scripts/train_architecture.py"


rule record_architecture:
    input:
        states=rules.train_architecture.output.states,
        learning=rules.train_architecture.output.learning,
        data=lambda wildcards: data_files(ARCHITECTURES[wildcards.network]["task"]),
    output:
        activity=f"{RESULTS}/recorded/{NETWORK}/layer_activity.parquet",
        units=f"{RESULTS}/recorded/{NETWORK}/unit_stream.parquet",
    log:
        f"{RESULTS}/logs/record_architecture/{NETWORK}.log",
    benchmark:
        f"{RESULTS}/benchmarks/record_architecture/{NETWORK}.tsv"
    priority: 15
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        **gpu("record_architecture"),
        mem_mb=predicted_memory(f"record_architecture/{NETWORK}"),
        runtime=predicted_minutes(f"record_architecture/{NETWORK}"),
    params:
        architecture=lambda wildcards: recorded_params(wildcards.network),
        data=lambda wildcards: data_params(ARCHITECTURES[wildcards.network]["task"]),
        seed=RUN.seed,
        device=device_of("record_architecture"),
        fingerprint=fingerprint("quasicrit.stages.architectures"),
    message:
        "Architecture {wildcards.network}: recorded"
    script:
        "../../scripts/record_architecture.py"


rule detect_cascades:
    input:
        unpack(cascade_source),
    output:
        cascades=f"{RESULTS}/cascades/{{definition}}/{NETWORK}.parquet",
    log:
        f"{RESULTS}/logs/detect_cascades/{{definition}}/{NETWORK}.log",
    benchmark:
        f"{RESULTS}/benchmarks/detect_cascades/{{definition}}/{NETWORK}.tsv"
    priority: 15
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory(f"detect_cascades/{{definition}}/{NETWORK}"),
        runtime=predicted_minutes(f"detect_cascades/{{definition}}/{NETWORK}"),
    params:
        architecture=lambda wildcards: detected_params(
            wildcards.network, wildcards.definition
        ),
        data=lambda wildcards: data_params(ARCHITECTURES[wildcards.network]["task"]),
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.cascades"),
    message:
        "Avalanches by definition {wildcards.definition}: {wildcards.network}"
    script:
        "../../scripts/detect_cascades.py"


rule fit_cascades:
    input:
        cascades=lambda wildcards: expand(
            rules.detect_cascades.output.cascades,
            definition=ARCHITECTURES[wildcards.network]["definitions"],
            network=wildcards.network,
        ),
        learning=rules.train_architecture.output.learning,
        bias=BIASES,
    output:
        fits=f"{RESULTS}/cascade_fits/{NETWORK}/architectures.parquet",
        distributions=f"{RESULTS}/cascade_fits/{NETWORK}/cascade_distributions.parquet",
    log:
        f"{RESULTS}/logs/fit_cascades/{NETWORK}.log",
    benchmark:
        f"{RESULTS}/benchmarks/fit_cascades/{NETWORK}.tsv"
    priority: 15
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory(f"fit_cascades/{NETWORK}"),
        runtime=predicted_minutes(f"fit_cascades/{NETWORK}"),
    params:
        architecture=lambda wildcards: fitted_params(wildcards.network),
        resamples=RUN.resamples,
        reference_events=RUN.architectures.reference_events,
        tolerance=RUN.criteria.tolerance,
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.cascade_fits"),
    message:
        "Exponents and classes by every definition: {wildcards.network}"
    script:
        "../../scripts/fit_cascades.py"


rule tabulate_architectures:
    input:
        fits=expand(rules.fit_cascades.output.fits, network=ARCHITECTURES),
    output:
        table=f"{RESULTS}/architectures/table.md",
    log:
        f"{RESULTS}/logs/tabulate_architectures.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate_architectures.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("tabulate_architectures"),
        runtime=predicted_minutes("tabulate_architectures"),
    params:
        learnt_above=RUN.architectures.learnt_above,
        fingerprint=fingerprint("quasicrit.stages.architecture_summary"),
    message:
        "Architectures and definitions: the table"
    script:
        "../../scripts/tabulate_architectures.py"
