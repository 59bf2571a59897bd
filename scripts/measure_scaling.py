from quasicrit.stages.job import job
from quasicrit.stages.scaling import measure_scaling

with job(snakemake.log[0], dict(snakemake.params)) as details:
    inputs = {name: [paths] if isinstance(paths, str) else list(paths) for name, paths in snakemake.input.items()}
    measure_scaling(
        snakemake.params.scaling,
        inputs,
        snakemake.output.scaling,
        snakemake.output.controls,
        snakemake.params.seed,
        details,
    )
