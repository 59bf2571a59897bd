#!/bin/sh
# SLURM and munge from Debian's packages where they are missing. A machine that cannot run them is told so in one sentence.
set -eu
PATH=$PATH:/usr/sbin:/sbin
if [ "$(id -u)" != 0 ]; then
  echo "The SLURM test needs root, since it starts slurmctld, slurmd and munged: run it as root on a machine of its own, such as a container." >&2
  exit 1
fi
for program in munged mungekey slurmctld slurmd squeue; do
  command -v "$program" >/dev/null 2>&1 && continue
  if ! command -v apt-get >/dev/null 2>&1; then
    echo "The SLURM test takes SLURM and munge from Debian's packages: $program is missing, and there is no apt-get to install it with." >&2
    exit 1
  fi
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends slurmctld slurmd slurm-client munge
  break
done
