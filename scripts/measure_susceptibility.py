from quasicrit.stages.job import job
from quasicrit.stages.susceptibility import measure_susceptibility

with job(snakemake.log[0], dict(snakemake.params)) as details:
    measure_susceptibility(
        snakemake.params.susceptibility,
        int(snakemake.wildcards.width),
        snakemake.output.chi,
        snakemake.params.seed,
        details,
    )
