from quasicrit.stages.job import job
from quasicrit.stages.populations import judge_population

with job(snakemake.log[0], dict(snakemake.params)) as details:
    judge_population(
        snakemake.params.population,
        list(snakemake.input.biases),
        snakemake.output.populations,
        snakemake.output.curves,
        snakemake.params.resamples,
        snakemake.params.tolerance,
        snakemake.params.seed,
        details,
    )
