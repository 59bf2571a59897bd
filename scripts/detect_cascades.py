from quasicrit.stages.cascades import detect_cascades
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    source = {"data": snakemake.params.data, **snakemake.input}
    detect_cascades(
        snakemake.wildcards.definition,
        snakemake.params.architecture,
        source,
        snakemake.output.cascades,
        snakemake.params.seed,
        details,
    )
