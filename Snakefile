"""quasicrit: from random networks to figures and verdicts. Keys: config.yaml; what runs: workflow/rules."""

import os

from snakemake.utils import min_version

min_version("9.27")


configfile: os.path.join(workflow.basedir, "config.yaml")


report: os.path.join(workflow.basedir, "workflow/report/workflow.rst")


include: "workflow/rules/common.smk"
include: "workflow/rules/theory.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/learning.smk"
include: "workflow/rules/record.smk"
include: "workflow/rules/avalanches.smk"
include: "workflow/rules/exponents.smk"
include: "workflow/rules/scaling.smk"
include: "workflow/rules/classes.smk"
include: "workflow/rules/architectures.smk"
include: "workflow/rules/populations.smk"
include: "workflow/rules/figures.smk"


onstart:
    begin_run()


onsuccess:
    note_main_process(RESULTS)


onerror:
    note_main_process(RESULTS)


localrules:
    all,
    architectures,
    figures,
    initialisations,
    report,


rule all:
    default_target: True
    input:
        expand(
            "{folder}/figures/{name}.{kind}",
            folder=RESULTS,
            name=FIGURES,
            kind=FORMATS,
        ),
        f"{RESULTS}/summary.md",
        f"{RESULTS}/verdicts.parquet",
        f"{RESULTS}/points.parquet",
        f"{RESULTS}/initialisations/table.md",
        f"{RESULTS}/architectures/table.md",
        UNIT_FILES,


rule initialisations:
    input:
        f"{RESULTS}/initialisations/table.md",


rule architectures:
    input:
        f"{RESULTS}/architectures/table.md",
        expand(
            "{folder}/figures/figure-5-architectures.{kind}",
            folder=RESULTS,
            kind=FORMATS,
        ),


rule figures:
    input:
        expand(
            "{folder}/figures/{name}.{kind}",
            folder=RESULTS,
            name=FIGURES,
            kind=FORMATS,
        ),


# Refers to the figures above.
include: "workflow/rules/report.smk"


rule report:
    input:
        rules.all.input,
        rules.report_claims.output.page,
        rules.report_run.output.page,
