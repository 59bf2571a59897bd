from quasicrit.stages.job import job
from quasicrit.stages.report_pages import claims_page

with job(snakemake.log[0], dict(snakemake.params)):
    claims_page(snakemake.input.summary, snakemake.input.verdicts, snakemake.output.page)
