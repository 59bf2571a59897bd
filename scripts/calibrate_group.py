from quasicrit.stages.calibrate import calibrate_group
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    calibrate_group(
        snakemake.wildcards.group,
        snakemake.params.share,
        snakemake.params.seed,
        snakemake.output[0],
        details,
    )
