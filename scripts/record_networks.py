from quasicrit.stages.job import job
from quasicrit.stages.train import record_networks

with job(snakemake.log[0], dict(snakemake.params)) as details:
    for state in ("initial", "trained"):
        record_networks(
            snakemake.params[state],
            snakemake.params.task,
            snakemake.input[state],
            snakemake.output[state],
            snakemake.params.seed,
            snakemake.params.group_size,
            details,
            snakemake.params.device,
        )
