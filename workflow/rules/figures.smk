# Every table that a figure may read, by the name that it has there.
TABLES = dict(
    points=f"{RESULTS}/points.parquet",
    exponents=every("exponents", "exponents"),
    distributions=every("exponents", "distributions"),
    cutoffs=every("exponents", "cutoffs"),
    shapes=[path_of("shapes", b) for b in BLOCKS.values()],
    activity=path_of("activity", raster_block()),
    events=path_of("events", raster_block()),
    phase_diagram=f"{RESULTS}/theory/phase_diagram.parquet",
    lines=f"{RESULTS}/theory/lines.parquet",
    susceptibility=expand(
        "{folder}/susceptibility/width={width}.parquet",
        folder=RESULTS,
        width=RUN.susceptibility.width,
    ),
    survival=expand(
        "{folder}/survival/width={width}.parquet",
        folder=RESULTS,
        width=RUN.survival.width,
    ),
    scaling=f"{RESULTS}/scaling/scaling.parquet",
    classes=f"{RESULTS}/classes/classes.parquet",
    point_verdicts=f"{RESULTS}/classes/point_verdicts.parquet",
    definitions=f"{RESULTS}/classes/definitions.parquet",
    learned=expand("{folder}/learned/{path}", folder=RESULTS, path=PLANE_FILES),
    predictors=expand("{folder}/predictors/{path}", folder=RESULTS, path=PLANE_FILES),
    ranking=f"{RESULTS}/ranking/ranking.parquet",
    learning_lines=f"{RESULTS}/ranking/lines.parquet",
    followed=f"{RESULTS}/followed/followed.parquet",
    advice=[
        f"{RESULTS}/initialisations/{task}/depth={depth}/advice.parquet"
        for task, depth in COMPARED
    ],
    architectures=expand(rules.fit_cascades.output.fits, network=ARCHITECTURES),
    cascade_distributions=expand(
        rules.fit_cascades.output.distributions, network=ARCHITECTURES
    ),
    confusion=CONFUSIONS,
    populations=expand(
        rules.judge_population.output.populations, population=POPULATIONS
    ),
    population_curves=expand(
        rules.judge_population.output.curves, population=POPULATIONS
    ),
)


rule draw_figure:
    input:
        unpack(
            lambda wildcards: {
                name: TABLES[name] for name in FIGURE_TABLES[wildcards.figure]
            }
        ),
    output:
        pdf=f"{RESULTS}/figures/{{figure}}.pdf",
        png=report(
            f"{RESULTS}/figures/{{figure}}.png",
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        svg=f"{RESULTS}/figures/{{figure}}.svg",
        csv=f"{RESULTS}/figures/{{figure}}.csv",
    log:
        f"{RESULTS}/logs/draw_figure/{{figure}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/draw_figure/{{figure}}.tsv"
    wildcard_constraints:
        figure="|".join(FIGURES),
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("draw_figure/{figure}"),
        runtime=predicted_minutes("draw_figure/{figure}"),
    params:
        caption=caption,
        fingerprint=fingerprint("quasicrit.stages.figures"),
    message:
        "Figure: {wildcards.figure}"
    script:
        "../../scripts/draw_figure.py"
