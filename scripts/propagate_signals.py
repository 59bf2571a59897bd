from quasicrit.stages.job import job
from quasicrit.stages.propagate import propagate_block

with job(snakemake.log[0], dict(snakemake.params)) as details:
    propagate_block(
        snakemake.params.block,
        snakemake.output.activity,
        snakemake.params.seed,
        snakemake.params.group_size,
        details,
        snakemake.params.device,
    )
