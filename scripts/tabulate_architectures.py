from quasicrit.stages.architecture_summary import tabulate_architectures
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)):
    tabulate_architectures(list(snakemake.input.fits), snakemake.params.learnt_above, snakemake.output.table)
