"""One module per rule: tables and configuration in, tables out. Only here does science meet tables.

Every job is one thread: the DAG is parallel over jobs, and results stay bit-equal for any number of cores.
"""

import os

for _name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[_name] = "1"
