from quasicrit.stages.initialisations import compare_initialisations
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    compare_initialisations(
        snakemake.params.advisor,
        snakemake.params.data,
        snakemake.output.initialisations,
        snakemake.output.advice,
        snakemake.params.seed,
        details,
        snakemake.params.device,
    )
