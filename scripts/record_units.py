from quasicrit.stages.job import job
from quasicrit.stages.propagate import record_units

with job(snakemake.log[0], dict(snakemake.params)) as details:
    record_units(
        snakemake.params.block,
        snakemake.output.activations,
        snakemake.params.seed,
        snakemake.params.group_size,
        details,
        snakemake.params.device,
    )
