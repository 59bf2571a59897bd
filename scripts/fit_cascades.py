from quasicrit.stages.cascade_fits import fit_cascades
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    fit_cascades(
        snakemake.params.architecture,
        snakemake.input.cascades,
        snakemake.input.learning,
        snakemake.input.bias,
        snakemake.params.resamples,
        snakemake.params.reference_events,
        snakemake.params.tolerance,
        snakemake.output.fits,
        snakemake.output.distributions,
        snakemake.params.seed,
        details,
    )
