from quasicrit.stages.architectures import train_architecture
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    train_architecture(
        snakemake.params.architecture,
        snakemake.params.data,
        snakemake.output.states,
        snakemake.output.learning,
        snakemake.params.seed,
        details,
        snakemake.params.device,
    )
