rule detect_avalanches:
    input:
        activity=f"{RESULTS}/activity/{PATH}",
    output:
        events=f"{RESULTS}/events/{PATH}",
        shapes=f"{RESULTS}/shapes/{PATH}",
        moments=f"{RESULTS}/moments/{PATH}",
    log:
        f"{RESULTS}/logs/detect_avalanches/{PATH}.log",
    benchmark:
        f"{RESULTS}/benchmarks/detect_avalanches/{PATH}.tsv"
    priority: 20
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory(f"detect_avalanches/{PATH}"),
        runtime=predicted_minutes(f"detect_avalanches/{PATH}"),
    params:
        block=block_params,
        group_size=RUN.group_size,
        fingerprint=fingerprint("quasicrit.stages.detect"),
    message:
        "Avalanches: {wildcards.source}, protocol {wildcards.protocol}, N = {wildcards.width}, L = {wildcards.depth}, "
        "block {wildcards.block}"
    script:
        "../../scripts/detect_avalanches.py"
