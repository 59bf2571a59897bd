from quasicrit.stages.job import job
from quasicrit.stages.learning_summary import tabulate_initialisations

with job(snakemake.log[0], dict(snakemake.params)):
    tabulate_initialisations(list(snakemake.input.advice), snakemake.output.table)
