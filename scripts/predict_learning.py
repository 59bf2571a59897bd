from quasicrit.stages.job import job
from quasicrit.stages.learn import predict_learning

with job(snakemake.log[0], dict(snakemake.params)) as details:
    predict_learning(
        snakemake.params.plane,
        snakemake.params.data,
        snakemake.output.predictors,
        snakemake.params.seed,
        details,
    )
