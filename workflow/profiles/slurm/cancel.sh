#!/bin/sh
# Cancel the jobs that a run in this folder (or the one given) has in the queue: after its main process died, before it is resumed.
# The jobs of a dead run live on, and a resumed run would submit them again.
set -eu
folder=$(cd "${1:-.}" && pwd -P)
jobs=$(squeue --noheader --user "$(id -un)" --format '%i|%Z' | awk -F'|' -v folder="$folder" '$2 == folder { print $1 }')
[ -z "$jobs" ] || echo "$jobs" | xargs scancel
# Cancelled jobs end within KillWait: a resumed run must not find them at work.
while [ -n "$(squeue --noheader --user "$(id -un)" --format '%i|%Z' | awk -F'|' -v folder="$folder" '$2 == folder')" ]; do
  sleep 1
done
