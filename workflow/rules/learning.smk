PLANE_FILES = [
    PLANE_PATH.format(
        task=task, width=width, depth=depth, optimiser=optimiser, block=block
    )
    for task, width, depth, optimiser, block in PLANE
]
COMPARED = [(task, run.depth) for task in RUN.advisor.tasks for run in RUN.advisor.runs]


rule learn_plane:
    input:
        data=lambda wildcards: data_files(wildcards.task),
    output:
        learned=f"{RESULTS}/learned/{PLANE_PATH}",
    log:
        f"{RESULTS}/logs/learn_plane/{PLANE_PATH}.log",
    benchmark:
        f"{RESULTS}/benchmarks/learn_plane/{PLANE_PATH}.tsv"
    priority: 20
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        **gpu("learn_plane"),
        mem_mb=predicted_memory(f"learn_plane/{PLANE_PATH}"),
        runtime=predicted_minutes(f"learn_plane/{PLANE_PATH}"),
    params:
        plane=plane_params,
        data=lambda wildcards: data_params(wildcards.task),
        seed=RUN.seed,
        device=device_of("learn_plane"),
        fingerprint=fingerprint("quasicrit.stages.learn"),
    message:
        "Learning plane: {wildcards.task}, N = {wildcards.width}, L = {wildcards.depth}, {wildcards.optimiser}, "
        "block {wildcards.block}"
    script:
        "../../scripts/learn_plane.py"


rule predict_learning:
    input:
        data=lambda wildcards: data_files(wildcards.task),
    output:
        predictors=f"{RESULTS}/predictors/{PLANE_PATH}",
    log:
        f"{RESULTS}/logs/predict_learning/{PLANE_PATH}.log",
    benchmark:
        f"{RESULTS}/benchmarks/predict_learning/{PLANE_PATH}.tsv"
    priority: 15
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory(f"predict_learning/{PLANE_PATH}"),
        runtime=predicted_minutes(f"predict_learning/{PLANE_PATH}"),
    params:
        plane=lambda wildcards: {
            **plane_params(wildcards),
            "fluctuation_nets": RUN.learning.fluctuation_nets,
            "kernel_samples": RUN.learning.kernel_samples,
        },
        data=lambda wildcards: data_params(wildcards.task),
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.learn"),
    message:
        "Predictors before training: {wildcards.task}, N = {wildcards.width}, L = {wildcards.depth}, "
        "{wildcards.optimiser}, block {wildcards.block}"
    script:
        "../../scripts/predict_learning.py"


rule follow_training:
    input:
        data=data_files(RUN.learning.tasks[0]),
    output:
        followed=f"{RESULTS}/followed/followed.parquet",
    log:
        f"{RESULTS}/logs/follow_training/followed.log",
    benchmark:
        f"{RESULTS}/benchmarks/follow_training/followed.tsv"
    priority: 15
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        **gpu("follow_training"),
        mem_mb=predicted_memory("follow_training/followed"),
        runtime=predicted_minutes("follow_training/followed"),
    params:
        follow=follow_params(),
        data=data_params(RUN.learning.tasks[0]),
        seed=RUN.seed,
        device=device_of("follow_training"),
        fingerprint=fingerprint("quasicrit.stages.learn"),
    message:
        "Networks followed through training"
    script:
        "../../scripts/follow_training.py"


rule rank_predictors:
    input:
        learned=expand("{folder}/learned/{path}", folder=RESULTS, path=PLANE_FILES),
        predictors=expand(
            "{folder}/predictors/{path}", folder=RESULTS, path=PLANE_FILES
        ),
        data=data_files(*RUN.learning.tasks),
    output:
        ranking=f"{RESULTS}/ranking/ranking.parquet",
        contests=f"{RESULTS}/ranking/contests.parquet",
        lines=f"{RESULTS}/ranking/lines.parquet",
    log:
        f"{RESULTS}/logs/rank_predictors/ranks.log",
    benchmark:
        f"{RESULTS}/benchmarks/rank_predictors/ranks.tsv"
    priority: 15
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("rank_predictors/ranks"),
        runtime=predicted_minutes("rank_predictors/ranks"),
    params:
        ranks={
            "bias_split": RUN.learning.bias_split,
            "chance_margin": RUN.learning.chance_margin,
            "resamples": RUN.resamples,
            "data": {task: data_params(task) for task in RUN.learning.tasks},
        },
        seed=RUN.seed,
        fingerprint=fingerprint("quasicrit.stages.rank"),
    message:
        "Which predictor orders the outcomes best"
    script:
        "../../scripts/rank_predictors.py"


rule compare_initialisations:
    input:
        data=lambda wildcards: data_files(wildcards.task),
    output:
        initialisations=f"{RESULTS}/initialisations/{{task}}/depth={{depth}}/networks.parquet",
        advice=f"{RESULTS}/initialisations/{{task}}/depth={{depth}}/advice.parquet",
    log:
        f"{RESULTS}/logs/compare_initialisations/{{task}}_depth={{depth}}.log",
    benchmark:
        f"{RESULTS}/benchmarks/compare_initialisations/{{task}}_depth={{depth}}.tsv"
    priority: 20
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        **gpu("compare_initialisations"),
        mem_mb=predicted_memory("compare_initialisations/{task}_depth={depth}"),
        runtime=predicted_minutes("compare_initialisations/{task}_depth={depth}"),
    params:
        advisor=advisor_params,
        data=lambda wildcards: data_params(wildcards.task),
        seed=RUN.seed,
        device=device_of("compare_initialisations"),
        fingerprint=fingerprint("quasicrit.stages.initialisations"),
    message:
        "Initialisations, each at its best learning rate: {wildcards.task}, L = {wildcards.depth}"
    script:
        "../../scripts/compare_initialisations.py"


rule tabulate_initialisations:
    input:
        advice=[
            f"{RESULTS}/initialisations/{task}/depth={depth}/advice.parquet"
            for task, depth in COMPARED
        ],
    output:
        table=f"{RESULTS}/initialisations/table.md",
    log:
        f"{RESULTS}/logs/tabulate_initialisations.log",
    benchmark:
        f"{RESULTS}/benchmarks/tabulate_initialisations.tsv"
    conda:
        "../../envs/quasicrit.yaml"
    resources:
        mem_mb=predicted_memory("tabulate_initialisations"),
        runtime=predicted_minutes("tabulate_initialisations"),
    params:
        fingerprint=fingerprint("quasicrit.stages.learning_summary"),
    message:
        "Initialisations compared: the table"
    script:
        "../../scripts/tabulate_initialisations.py"


if RUN.data.fetch:
    if find_spec("snakemake_storage_plugin_http") is None:
        print(
            'data.fetch = true needs the storage plugin for HTTP: pip install "quasicrit[fetch]", or set data.fetch to false.',
            file=sys.stderr,
        )
        sys.exit(2)

    storage:
        provider="http",

    for fetched in sorted(SOURCES):

        rule:
            name:
                f"fetch_{fetched}"
            input:
                [storage.http(url) for url in SOURCES[fetched]],
            output:
                [
                    os.path.join(RUN.data.folder, fetched, name)
                    for name in fetched_files(fetched)
                ],
            log:
                f"{RESULTS}/logs/fetch_data/{fetched}.log",
            benchmark:
                f"{RESULTS}/benchmarks/fetch_data/{fetched}.tsv"
            conda:
                "../../envs/quasicrit.yaml"
            resources:
                mem_mb=memory(1500),
                runtime=minutes(60),
            params:
                task=fetched,
                sources=SOURCES[fetched],
                fingerprint=fingerprint("quasicrit.stages.fetch"),
            message:
                f"Fetching {fetched}"
            script:
                "../../scripts/fetch_data.py"
