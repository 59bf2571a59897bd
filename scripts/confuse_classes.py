from quasicrit.stages.classes import confuse_classes
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    confuse_classes(
        snakemake.params.processes,
        list(snakemake.input.biases),
        snakemake.params.events,
        snakemake.params.replicates,
        snakemake.params.resamples,
        snakemake.params.tolerance,
        snakemake.params.seed,
        snakemake.output.confusion,
        details,
    )
