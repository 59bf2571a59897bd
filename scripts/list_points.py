from quasicrit.points import Point
from quasicrit.stages.job import job
from quasicrit.stages.points import write_points

with job(snakemake.log[0], dict(snakemake.params)) as details:
    points = [Point.from_params(point) for point in snakemake.params.points]
    write_points(points, snakemake.output.points, details)
