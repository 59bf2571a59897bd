from quasicrit.stages.architectures import record_architecture
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    record_architecture(
        snakemake.params.architecture,
        snakemake.params.data,
        snakemake.input.states,
        snakemake.input.learning,
        snakemake.output.activity,
        snakemake.output.units,
        snakemake.params.seed,
        details,
        snakemake.params.device,
    )
