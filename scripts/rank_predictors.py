from quasicrit.stages.rank import rank_predictors
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    rank_predictors(
        snakemake.params.ranks,
        list(snakemake.input.learned),
        list(snakemake.input.predictors),
        snakemake.output.ranking,
        snakemake.output.contests,
        snakemake.params.seed,
        details,
    )
