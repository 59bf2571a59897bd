"""make calibrate: the tail-fit engine on processes whose answer is known (about an hour, two cores; resumable).

snakemake -s workflow/calibration.smk --cores 2 [--config share=0.01 results=elsewhere]
"""

import sys
from pathlib import Path

import quasicrit.tails
from quasicrit.errors import RunError
from quasicrit.fingerprint import fingerprint
from quasicrit.stages.calibrate import GROUPS
from quasicrit.stages.run_owner import begin

FOLDER = f"{config.get('results', 'results')}/calibration"
SHARE = float(config.get("share", 1.0))
SEED = int(config.get("seed", 2026))


onstart:
    try:
        begin(Path.cwd(), Path(FOLDER))
    except RunError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


localrules:
    all,


rule all:
    default_target: True
    input:
        f"{FOLDER}/calibration.parquet",
        f"{FOLDER}/calibration.md",


wildcard_constraints:
    group="|".join(GROUPS),


rule calibrate_group:
    input:
        critical_values=ancient(
            Path(quasicrit.tails.__file__).with_name("critical_values.json")
        ),
    output:
        f"{FOLDER}/groups/{{group}}.parquet",
    log:
        f"{FOLDER}/logs/{{group}}.log",
    benchmark:
        f"{FOLDER}/benchmarks/{{group}}.tsv"
    conda:
        "../envs/quasicrit.yaml"
    resources:
        mem_mb=1000,
        runtime=60,
    params:
        share=SHARE,
        seed=SEED,
        fingerprint=fingerprint("quasicrit.stages.calibrate"),
    message:
        "Calibration: {wildcards.group}"
    script:
        "../scripts/calibrate_group.py"


rule tabulate_calibration:
    input:
        expand(rules.calibrate_group.output, group=GROUPS),
    output:
        table=f"{FOLDER}/calibration.parquet",
        text=f"{FOLDER}/calibration.md",
    log:
        f"{FOLDER}/logs/tabulate_calibration.log",
    benchmark:
        f"{FOLDER}/benchmarks/tabulate_calibration.tsv"
    conda:
        "../envs/quasicrit.yaml"
    resources:
        mem_mb=500,
        runtime=5,
    params:
        share=SHARE,
        seed=SEED,
        fingerprint=fingerprint("quasicrit.stages.calibrate"),
    message:
        "Calibration: tables"
    script:
        "../scripts/tabulate_calibration.py"
