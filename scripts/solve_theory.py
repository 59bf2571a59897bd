from quasicrit.stages.job import job
from quasicrit.stages.theory import solve_theory

with job(snakemake.log[0], dict(snakemake.params)) as details:
    solve_theory(
        **snakemake.params.theory,
        diagram=snakemake.output.diagram,
        lines=snakemake.output.lines,
        details=details,
    )
