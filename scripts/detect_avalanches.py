from quasicrit.stages.detect import detect_block
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    detect_block(
        snakemake.params.block,
        snakemake.input.activity,
        snakemake.output.events,
        snakemake.output.shapes,
        snakemake.output.moments,
        snakemake.params.group_size,
        details,
    )
