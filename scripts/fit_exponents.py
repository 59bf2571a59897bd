from quasicrit.stages.exponents import fit_exponents
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    fit_exponents(
        snakemake.params.points,
        list(snakemake.input.events),
        list(snakemake.input.moments),
        snakemake.output.exponents,
        snakemake.output.covariances,
        snakemake.output.comparisons,
        snakemake.output.distributions,
        snakemake.output.cutoffs,
        snakemake.params.seed,
        details,
    )
