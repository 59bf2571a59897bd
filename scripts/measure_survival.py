from quasicrit.stages.job import job
from quasicrit.stages.survival import measure_survival

with job(snakemake.log[0], dict(snakemake.params)) as details:
    measure_survival(
        snakemake.params.survival,
        int(snakemake.wildcards.width),
        snakemake.output.survival,
        snakemake.params.seed,
        details,
    )
