from quasicrit.stages.job import job
from quasicrit.stages.judge import judge_claims

with job(snakemake.log[0], dict(snakemake.params)) as details:
    inputs = {name: [paths] if isinstance(paths, str) else list(paths) for name, paths in snakemake.input.items()}
    judge_claims(snakemake.params.judge, inputs, snakemake.output.verdicts, snakemake.output.summary, details)
