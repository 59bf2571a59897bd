from quasicrit.stages.figures import draw_figure
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)):
    inputs = {name: [paths] if isinstance(paths, str) else list(paths) for name, paths in snakemake.input.items()}
    draw_figure(snakemake.wildcards.figure, inputs, list(snakemake.output))
