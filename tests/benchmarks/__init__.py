"""Speed as ratios in one run, written to results/benchmarks.md (``make benchmarks``); one module per subject."""

import quasicrit.stages  # one thread, before numpy starts  # noqa: F401
