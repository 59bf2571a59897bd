from quasicrit.stages.classes import calibrate_classes
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    calibrate_classes(
        snakemake.params.processes,
        snakemake.params.windows,
        snakemake.params.events,
        snakemake.params.resamples,
        snakemake.params.seed,
        snakemake.output.bias,
        details,
    )
