from quasicrit.stages.class_summary import tabulate_confusion
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)):
    tabulate_confusion(list(snakemake.input.confusion), snakemake.output.text)
