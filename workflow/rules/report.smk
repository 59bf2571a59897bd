# The pages of the report that are no figures; make report binds them together.

# Heading → the table of this folder, the command that makes it, and the page and mark of the one that is shown where there is none.
REPORT_TABLES = {
    "Calibration of the tail fits": (
        f"{RESULTS}/calibration/calibration.md",
        "make calibrate",
        f"{DOCS}/trust.md",
        "calibration",
    ),
    "Calibration of the classes": (
        f"{RESULTS}/reference/classes/confusion.md",
        "make classes",
        f"{DOCS}/trust.md",
        "classes",
    ),
    "Speed": (
        f"{RESULTS}/benchmarks.md",
        "make benchmarks",
        f"{DOCS}/running.md",
        "speed",
    ),
}


rule report_claims:
    input:
        summary=rules.judge_claims.output.summary,
        verdicts=rules.judge_claims.output.verdicts,
    output:
        page=report(
            f"{RESULTS}/report/claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels={"page": "claims P1 to P8"},
        ),
    log:
        f"{RESULTS}/logs/report_claims.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_claims.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        fingerprint=fingerprint("quasicrit.stages.report_pages"),
    message:
        "Report: the claims"
    script:
        "../../scripts/report_claims.py"


rule report_run:
    input:
        # What is timed must have run.
        rules.report_claims.output.page,
        rules.figures.input,
        tables=[path for path, *_ in REPORT_TABLES.values() if os.path.exists(path)],
    output:
        page=report(
            f"{RESULTS}/report/run.html",
            caption="../report/run.rst",
            category="The run",
            labels={"page": "time, versions, configuration, calibration, speed"},
        ),
    log:
        f"{RESULTS}/logs/report_run.log",
    benchmark:
        f"{RESULTS}/benchmarks/report_run.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=memory(500),
        runtime=minutes(5),
    params:
        configuration=RUN.model_dump(mode="json"),
        benchmarks=f"{RESULTS}/benchmarks",
        tables=REPORT_TABLES,
        fingerprint=fingerprint("quasicrit.stages.report_pages"),
    message:
        "Report: how the numbers were made"
    script:
        "../../scripts/report_run.py"
