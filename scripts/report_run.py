from quasicrit.stages.job import job
from quasicrit.stages.report_pages import run_page

with job(snakemake.log[0], dict(snakemake.params)):
    run_page(
        snakemake.params.configuration, snakemake.params.benchmarks, snakemake.params.tables, snakemake.output.page
    )
