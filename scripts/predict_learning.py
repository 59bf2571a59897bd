from quasicrit.stages.learn import predict_learning
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    predict_learning(
        snakemake.params.plane,
        snakemake.params.data,
        snakemake.output.predictors,
        snakemake.params.seed,
        details,
    )
