from quasicrit.stages.job import job
from quasicrit.stages.learn import learn_plane

with job(snakemake.log[0], dict(snakemake.params)) as details:
    learn_plane(
        snakemake.params.plane,
        snakemake.params.data,
        snakemake.output.learned,
        snakemake.params.seed,
        details,
        snakemake.params.device,
    )
