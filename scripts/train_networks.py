from quasicrit.stages.job import job
from quasicrit.stages.train import train_networks

with job(snakemake.log[0], dict(snakemake.params)) as details:
    train_networks(
        snakemake.params.training,
        snakemake.output.initial,
        snakemake.output.trained,
        snakemake.output.learning,
        snakemake.params.seed,
        details,
        snakemake.params.device,
    )
