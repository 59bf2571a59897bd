from quasicrit.stages.job import job
from quasicrit.stages.learn import follow_training

with job(snakemake.log[0], dict(snakemake.params)) as details:
    follow_training(
        snakemake.params.follow,
        snakemake.params.data,
        snakemake.output.followed,
        snakemake.params.seed,
        details,
        snakemake.params.device,
    )
