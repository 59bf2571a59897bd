from quasicrit.stages.calibrate import tabulate_calibration
from quasicrit.stages.job import job

with job(snakemake.log[0], dict(snakemake.params)) as details:
    tabulate_calibration(list(snakemake.input), snakemake.output.table, snakemake.output.text, details)
