#!/usr/bin/env bash
# Everything that needs a GPU, in one go, on a machine with CUDA and PyTorch but no Rust and no network.
#
# usage: OUT=folder tools/device.sh BINARIES [SECONDS [PART...]]
# BINARIES: a folder with release builds of crates/cuda, carried here: `plans`, `resnet` (examples) and `kernels` (the test).
# SECONDS: the time for everything, 540 where not given. PARTs, most valuable first; all where not given:
#   machine plans kernels steps equal gradients peers sanitizer train
# Each part has a time limit, and what fails does not stop the others. Results go to $OUT as they come:
#   report.json (all of it), plans.txt (the table of plans), log.txt, plans.jsonl.gz (each engine's time), peers.json
set -u
binaries=$(realpath "$1"); shift
total=${1:-540}; [ $# -gt 0 ] && shift
parts=${*:-machine plans kernels steps equal gradients peers sanitizer train}
here=$(cd "$(dirname "$0")" && pwd)
: "${OUT:?expected OUT, a folder for results}"
mkdir -p "$OUT"
work=$(mktemp -d)
started=$SECONDS
left() { echo $((total - SECONDS + started)); }
# What runs, at most $1 seconds and what is left.
limited() { local seconds=$1; shift; local rest; rest=$(left); [ "$rest" -lt "$seconds" ] && seconds=$rest; [ "$seconds" -lt 2 ] && return 124; timeout -k 2 "$seconds" "$@"; }
say() { echo "[$((SECONDS - started)) s] $*" | tee -a "$OUT/log.txt"; }

# The libraries that PyTorch brought: cuDNN, NVRTC and its built-ins. A system's own cuDNN may be another version, and
# libcudnn.so is looked for before libcudnn.so.9: links of that name come first.
mkdir "$work/libraries"
libraries=$(python3 - "$work/libraries" <<'PYTHON'
import glob, os, site, sys
links, roots = sys.argv[1], [*site.getsitepackages(), *sys.path]
found = list(dict.fromkeys(d for root in roots for d in glob.glob(os.path.join(root, "nvidia", "*", "lib"))))
for folder in found:
    for name in ["libcudnn.so.9", "libnvrtc.so.13"]:
        link = os.path.join(links, name.rsplit(".", 1)[0])
        if os.path.exists(os.path.join(folder, name)) and not os.path.lexists(link):
            os.symlink(os.path.join(folder, name), link)
print(":".join([links, *found]))
PYTHON
)
export LD_LIBRARY_PATH="$libraries:${LD_LIBRARY_PATH:-}" PYTHONUNBUFFERED=1
results=$OUT/results.jsonl
table=$OUT/plans.txt

machine() {
  limited 20 nvidia-smi > "$work/smi.txt" 2>&1
  limited 20 nvidia-smi --query-gpu=name,driver_version,vbios_version,clocks.max.sm,clocks.max.mem,power.limit,memory.total --format=csv >> "$work/smi.txt" 2>&1
  cat "$work/smi.txt" >> "$OUT/log.txt"
  limited 40 "$binaries/plans" properties | tee -a "$results"
  limited 60 python3 "$here/device/machine.py" | tee -a "$results"
}

plans() {
  python3 "$here/device/shapes.py" > "$work/jobs.txt"
  limited "$((PLAN_SECONDS + 20))" "$binaries/plans" time "$work/jobs.txt" "$table" "$work/plans.jsonl" "$PLAN_SECONDS"
  gzip -c "$work/plans.jsonl" > "$OUT/plans.jsonl.gz"
}
PLAN_SECONDS=${PLAN_SECONDS:-120}

kernels() { limited 60 "$binaries/kernels" 2>&1 | tail -n 40; }

resnet() { if [ -s "$table" ]; then limited 25 "$binaries/resnet" "$@" "$table"; else limited 25 "$binaries/resnet" "$@"; fi; }

steps() {
  for arithmetic in ${ARITHMETICS:-tf32 bf16 f32}; do
    for case in "resnet18 512" "resnet18 64" "resnet20 128" "vgg16 128"; do
      # shellcheck disable=SC2086 # two words
      resnet bench $case $arithmetic | tee -a "$results" | cut -c 1-240
    done
  done
}

# Convolutions whose bits differ from run to run: with heuristics' engines, and with the table's.
equal() {
  for case in "resnet18 64" "vgg16 128"; do
    # shellcheck disable=SC2086 # two words
    limited 25 "$binaries/resnet" equal $case bf16 | tee -a "$results" | cut -c 1-1200
    # shellcheck disable=SC2086 # two words
    resnet equal $case bf16 | tee -a "$results" | cut -c 1-1200
  done
}

gradients() {
  for arithmetic in f32 tf32 bf16; do
    for case in "resnet20 32" "resnet18 16" "vgg16 16"; do
      # shellcheck disable=SC2086 # two words
      set -- $case
      resnet dump "$1" "$2" $arithmetic "$work/$1-$arithmetic"
    done
    limited 40 python3 "$here/device/check_gradients.py" $arithmetic "$work"/resnet20-$arithmetic "$work"/resnet18-$arithmetic "$work"/vgg16-$arithmetic | tee -a "$results" | cut -c 1-400
  done
}

peers() {
  [ -f "$here/device/peers.py" ] || { echo "no peers.py"; return; }
  limited "$((PEER_SECONDS + 20))" python3 "$here/device/peers.py" --out "$OUT/peers.json" --seconds "$PEER_SECONDS" 2>&1 | tail -n 60
}
PEER_SECONDS=${PEER_SECONDS:-150}

sanitizer() {
  for tool in memcheck racecheck initcheck; do
    limited 40 compute-sanitizer --tool $tool --error-exitcode 9 "$binaries/resnet" small resnet8 8 f32 > "$work/$tool.txt" 2>&1
    echo "{\"sanitizer\": \"$tool\", \"exit\": $?, \"says\": \"$(grep -E 'ERROR SUMMARY|RACECHECK SUMMARY|Error' "$work/$tool.txt" | tail -n 1 | tr -d '"\\')\"}" | tee -a "$results"
    tail -n 30 "$work/$tool.txt" >> "$OUT/log.txt"
  done
}

train() {
  for arithmetic in tf32 bf16; do
    resnet train resnet20 128 $arithmetic | tee -a "$results"
  done
}

for part in $parts; do
  say "$part"
  $part 2>&1 | tee -a "$OUT/log.txt"
done
python3 "$here/device/report.py" "$OUT" | tee -a "$OUT/log.txt"
say "done"
