from quasicrit.stages.classes import classify_points
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    classify_points(
        snakemake.params.judge,
        {name: [paths] if isinstance(paths, str) else list(paths) for name, paths in snakemake.input.items()},
        snakemake.output.classes,
        snakemake.output.verdicts,
        details,
    )
