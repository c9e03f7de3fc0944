#!/usr/bin/env bash
# A small experiment through profiles/slurm, on a throw-away Slurm of one node that runs in a temporary folder:
#
#   source .venv/bin/activate && .ci/slurm.sh
#
# It needs root, the Debian packages below and `pip install 'recam[slurm]'`. Slurm writes only to that folder.
set -euo pipefail
cd "$(dirname "$0")/.."

PACKAGES="slurmctld slurmd slurm-client munge"

[ "$(id -u)" = 0 ] || { echo ".ci/slurm.sh starts a Slurm of its own, which needs root."; exit 1; }
for tool in slurmctld slurmd sbatch munged; do
  command -v $tool > /dev/null || { echo "$tool is missing: apt-get install $PACKAGES"; exit 1; }
done
python -c "import snakemake_executor_plugin_slurm" 2> /dev/null ||
  { echo "Snakemake's plugin for Slurm is missing: pip install 'recam[slurm]'"; exit 1; }

folder=$(mktemp -d)
chmod 755 "$folder"
export SLURM_CONF="$folder/slurm.conf" # from here on every command uses this Slurm
daemons=()
tidy_up() {
  status=$?
  scancel --user root --quiet 2> /dev/null || true
  for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do kill "${daemons[i]}" 2> /dev/null || true; done
  wait
  if [ $status = 0 ]; then rm -rf "$folder"; else echo "failed; logs lie in $folder"; fi
}
trap tidy_up EXIT

start() { # a daemon, with its output in a log
  "$@" > "$folder/$(basename "$1").out" 2>&1 &
  daemons+=($!)
}

# The node declares more cores and memory than it has; Slurm does not enforce them. It has no GPU.
host=$(hostname -s)
cat > "$SLURM_CONF" << CONF
ClusterName=trial
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=16817
SlurmdPort=16818
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$folder/jobs.txt
ReturnToService=2
MpiDefault=none
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000
PartitionName=all Nodes=ALL Default=YES MaxTime=7-0
CONF
mkdir "$folder/state" "$folder/spool" "$folder/bin"

# The plugin unsets SLURM_CONF before a job calls srun.
printf '#!/bin/sh\nSLURM_CONF=%s exec %s "$@"\n' "$SLURM_CONF" "$(command -v srun)" > "$folder/bin/srun"
chmod 755 "$folder/bin/srun"
export PATH="$folder/bin:$PATH"

head -c 1024 /dev/urandom > "$folder/munge.key"
chmod 600 "$folder/munge.key"
start munged --foreground --force --key-file "$folder/munge.key" --socket "$folder/munge.socket" \
  --pid-file "$folder/munge.pid" --log-file "$folder/munge.log" --seed-file "$folder/munge.seed"
for _ in $(seq 50); do [ -S "$folder/munge.socket" ] && break; sleep 0.2; done
start slurmctld -D
start slurmd -D
for _ in $(seq 100); do sinfo --noheader --format %t 2> /dev/null | grep -q idle && break; sleep 0.3; done
sinfo

PYTHONPATH="tests${PYTHONPATH:+:$PYTHONPATH}" python - "$folder/run" << 'PYTHON'
import sys
from pathlib import Path

from experiment import set_up, small_params

folder = Path(sys.argv[1])
folder.mkdir()
set_up(folder, small_params())
PYTHON
cd "$folder/run"
# This Slurm has no accounting database, and small steps take seconds.
run=(snakemake --workflow-profile profiles/slurm --slurm-status-command squeue --slurm-init-seconds-before-status-checks 5)

echo "== a run on the CPU"
"${run[@]}"
test -s results/metrics.json
squeue --states all --format "%.6i %.9T %.19S %.4C %.7m %k"

echo "== jobs at work at the same time, at most"
python - "$folder/jobs.txt" << 'PYTHON'
import re
import sys
from pathlib import Path

times = re.findall(r"StartTime=(\S+) EndTime=(\S+)", Path(sys.argv[1]).read_text())
most = max(sum(start <= moment < end for start, end in times) for moment, _ in times)
print(f"{most} of {len(times)}")
sys.exit(most < 2)
PYTHON

echo "== a second run, and what DVC says"
"${run[@]}" 2>&1 | grep "Nothing to be done"
dvc status | grep "up to date"

echo "== cams in four shards, the same to the byte"
cp results/seed0/cam/cams.sha256 "$folder/cams.sha256"
sed -i -E "s/^( *)shards: .*/\1shards: 4/" params.yaml
rm -r results/seed0/cam/cams
"${run[@]}" --no-hooks results/seed0/cam/cams
cmp results/seed0/cam/cams.sha256 "$folder/cams.sha256"
test "$(squeue --states all --noheader --format %k | grep --count make_cams_shard)" = 4
sed -i -E "s/^( *)shards: .*/\1shards: 1/" params.yaml

echo "== a step of two processes"
sed -i -E "s/^( *)devices: .*/\1devices: 2/; s/frozen_batch_norm: .*/frozen_batch_norm: true/" params.yaml
"${run[@]}" results/seed0/cam/classifier.pt
tail -n 1 "$folder/jobs.txt" | grep --only-matching "ProcCnt=2"

echo "== a GPU that the cluster has not"
sed -i -E "s/^( *)device: .*/\1device: auto/" params.yaml
if "${run[@]}" --retries 0 > "$folder/refused.txt" 2>&1; then echo "was not refused"; exit 1; fi
grep -m 1 "error message" "$folder/refused.txt"
