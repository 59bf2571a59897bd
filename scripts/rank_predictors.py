from quasicrit.stages.job import job
from quasicrit.stages.rank import rank_predictors

with job(snakemake.log[0], dict(snakemake.params)) as details:
    rank_predictors(
        snakemake.params.ranks,
        list(snakemake.input.learned),
        list(snakemake.input.predictors),
        snakemake.output.ranking,
        snakemake.output.contests,
        snakemake.output.lines,
        snakemake.params.seed,
        details,
    )
