from quasicrit.stages.definitions import map_definitions
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    map_definitions(
        snakemake.params.definitions,
        list(snakemake.input.activity),
        list(snakemake.input.biases),
        snakemake.output.definitions,
        snakemake.params.group_size,
        snakemake.params.seed,
        details,
    )
