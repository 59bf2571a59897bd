# make figures: set up, run the default configuration, draw. make test: set up, test. Nothing else is needed beforehand
# but git, make and Python 3.11, 3.12 or 3.13 with venv.

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	&& { echo $$p; break; }; done)
VENV ?= .venv
CORES ?= all
# Where to take torch from; for the small CPU build: make figures TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
TORCH := $(shell sed -n 's/^  "\(torch==[^"]*\)",/\1/p' pyproject.toml)
UV := uv==0.13.9
BIN := $(VENV)/bin
# One run at a time in this folder; after a crash or kill -9 what is left of the last one is ended, and its lock removed.
SNAKEMAKE := $(BIN)/python -m quasicrit.stages.run_owner $(BIN)/snakemake
RUN := $(SNAKEMAKE) --cores $(CORES) --scheduler greedy --rerun-incomplete --quiet host reason
# Some environments switch the byte code cache off, and every job would compile its libraries again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: setup figures report paper architectures architectures-large initialisations test test-slurm faults dist lint lock schema benchmarks calibrate classes findings critical-values clean

figures: setup
	@$(RUN)
	@echo "Figures: results/figures   Summary: results/summary.md"

# All of it as one file to open offline: figures with captions, claims, times, versions.
report: setup
	@$(RUN) -- report
	@$(BIN)/snakemake --quiet all --report results/report.html -- report
	@echo "Report: results/report.html"

# One figure again from the tables that are there: make figure-3, make extended-1. Seconds, without torch.
figure-% extended-%: setup
	@name=$$(basename workflow/report/$@-*.rst .rst); \
	test -f "workflow/report/$$name.rst" || { echo "$@: there is no such figure; there are $$(cd workflow/report && ls | sed -n 's/^\(figure-[0-9]*\|extended-[0-9]*\)-.*/\1/p' | tr '\n' ' ')" >&2; exit 1; }; \
	$(RUN) --allowed-rules draw_figure --force -- results/figures/$$name.png && echo "results/figures/$$name.pdf .png .svg, source data .csv"

setup: $(VENV)/.ready

$(VENV)/.ready: envs/lock.txt pyproject.toml
	@command -v git >/dev/null 2>&1 || { echo "git is missing: install it, then run make again" >&2; exit 1; }
	@test -n "$(PYTHON)" || { echo "Python 3.11, 3.12 or 3.13 is missing: install one, then run make again (or make PYTHON=/path/to/python)" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "the venv module of $(PYTHON) is missing: install it (Debian: apt-get install python3-venv), then run make again" >&2; exit 1; }
	@echo "Setting up $(VENV) (once, a few minutes)"
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(UV) $(if $(TORCH_INDEX),&& $(BIN)/python -m pip install --quiet --index-url $(TORCH_INDEX)) $(TORCH)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r envs/lock.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

paper: setup
	@$(RUN) --configfile workflow/presets/paper.yaml --config results=results/paper 'data={folder: data, fetch: true}'

# The table of docs/initialisation.md: tuned learning rates at four depths, two tasks.
initialisations: setup
	@$(RUN) --configfile workflow/presets/paper.yaml --config results=results/paper -- initialisations
	@echo "The table: results/paper/initialisations/table.md"

# P6 alone: architectures by three definitions of avalanches, in the configuration that is drawn by default.
architectures: setup
	@$(RUN) -- architectures
	@echo "Figure: results/figures/figure-5-architectures.png   Table: results/architectures/table.md"

# The networks of the large grid that need no files: the table of docs/architectures.md, an hour on two cores.
architectures-large: setup
	@OMP_NUM_THREADS=1 $(RUN) --configfile workflow/presets/paper.yaml --config results=results/paper \
		'architectures={only_tasks: [digits]}' -- architectures
	@echo "Figure: results/paper/figures/figure-5-architectures.png   Table: results/paper/architectures/table.md"

# make test SLURM=yes: the SLURM test as well, in one session with the workflow's tests, whose local run it compares with.
test: setup
	@$(if $(SLURM),tests/slurm/install.sh)
	@$(BIN)/pytest -q -n 2 tests/unit tests/statistical
	@$(BIN)/pytest -q tests/workflow $(if $(SLURM),tests/slurm)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow/rules workflow/calibration.smk
	$(BIN)/mypy
	$(BIN)/snakemake --lint
	$(BIN)/snakemake --snakefile workflow/calibration.smk --lint

# Speeds as ratios in one run, and the scaling of every stage: results/benchmarks.md, some minutes on one core.
benchmarks: setup
	@$(BIN)/python -m tests.benchmarks

# The error bars and verdicts of the tail fits on processes with known answers: half fifty minutes on two cores, resumable.
calibrate: setup
	@OMP_NUM_THREADS=1 $(SNAKEMAKE) --snakefile workflow/calibration.smk --cores $(CORES) --scheduler greedy \
		--rerun-incomplete --quiet host reason
	@$(BIN)/python -m tests.make_calibration_table
	@echo "Every cell: results/calibration/calibration.md   Summary: docs/trust.md"

# The universality classes on processes with known answers and on impostors: fifty minutes on two cores, resumable.
classes: setup
	@OMP_NUM_THREADS=1 $(SNAKEMAKE) --cores $(CORES) --scheduler greedy --rerun-incomplete --quiet host reason \
		--configfile config.yaml workflow/presets/classes.yaml --config results=results/reference -- \
		results/reference/classes/confusion.md
	@$(BIN)/python -m tests.make_class_table
	@echo "Every process: results/reference/classes/confusion.md   Summary: docs/trust.md"

# What the last run says of each claim, into docs/findings.md.
findings: figures
	@$(BIN)/python -m tests.make_findings
	@echo "Claims: docs/findings.md"

critical-values: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m tests.make_critical_values

# Torch and its CUDA libraries stay outside the hashed lock: its CPU and CUDA builds carry different hashes.
OUTSIDE := torch triton $(addprefix cuda-,bindings pathfinder toolkit) $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc \
	cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx)
lock: setup
	cd envs && ../$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		$(addprefix --no-emit-package ,$(OUTSIDE)) --group ../pyproject.toml:dev --extra slurm --extra fetch ../pyproject.toml -o lock.txt
	$(BIN)/python -m tests.make_conda_yaml

# The source build, and the wheel that is made from it; hatchling comes with the lock, so that neither needs a network.
dist: setup
	@rm -rf dist
	@$(BIN)/uv build --quiet --offline --no-build-isolation --python $(BIN)/python
	@ls dist/*

schema: setup
	$(BIN)/python -m tests.make_schema
	$(BIN)/python -m tests.make_config_reference
	$(BIN)/python -m tests.make_command_reference

# A real SLURM on this machine, from Debian's packages (installed if they are missing, as root): the smoke preset through the profile,
# with a cancelled job, too little memory and time, a dead slurmd, a dead main process.
test-slurm: setup
	@tests/slurm/install.sh
	@$(BIN)/pytest -q tests/slurm

# Complete smoke runs killed -9 at random moments, and everything else that may happen to one (as root also full and read-only disks).
RUNS ?= 20
KILLS ?= 200
SEED ?= 1
faults: setup
	@$(BIN)/python -m tests.faults --runs $(RUNS) --kills $(KILLS) --seed $(SEED)

clean:
	rm -rf $(VENV) .snakemake dist results/*/ results/*.parquet results/summary.md results/benchmarks.md results/config.json* results/faults.md results/report.html
