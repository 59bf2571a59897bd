from quasicrit.stages.fetch import fetch_data
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)):
    fetch_data(list(snakemake.input), snakemake.params.task, snakemake.params.sources, list(snakemake.output))
