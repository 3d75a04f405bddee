#!/usr/bin/env bash
# All proofs that need a GPU, in one call on a fresh machine: bench/gpu.sh [STAGE...]
#
#   build     the C++ extension and the package, with what is installed; fetches what is missing where a network is
#   kernels   tests/interpreted, compiled and on the GPU; operations and training against their definitions
#   tests     quick tests of what learns, on the GPU where they name no device: graphs, compiled objectives, whole runs
#   sanitize  compute-sanitizer's memcheck and racecheck over every kernel at small shapes
#   bench     the benchmarks that use a GPU, into RESULTS/<gpu>-<date>.json
#   guidance  a random 7B beside a learner: verdicts, annotations, memory, stall, slow-down; the same place, guidance-...
#   runs      whole runs: the preset fast, the preset paper, and how many of the latter fit; the same place, runs-...
#
# Without arguments all but guidance and runs, in this order, for those need a call of ten minutes each to themselves; a
# stage that fails does not stop the next. Each has a time limit.
# Exit status: 0 all passed, 1 one failed, 2 none failed but one could not run (no GPU, no compute-sanitizer).
#
# Environment: PYTHON (.venv/bin/python, else python3); OUT, a folder for results and logs (bench/results, build/gpu);
# WHEELS, a folder of wheels for a machine without a network; COMMIT, for a copy of the files without its history;
# ARGS, for pytest in the stages kernels, tests and bench.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

STAGES=(build kernels tests sanitize bench)
declare -A LIMIT_S=([build]=90 [kernels]=240 [tests]=200 [sanitize]=150 [bench]=390 [guidance]=480 [runs]=540)
if [[ -z ${PYTHON:-} ]]; then PYTHON=$([[ -x .venv/bin/python ]] && echo .venv/bin/python || echo python3); fi
RESULTS=${OUT:-bench/results} LOGS=${OUT:-build/gpu}
CANNOT=77 # what a stage returns that cannot run here
read -ra EXTRA <<<"${ARGS:-}"
export PYTHONUNBUFFERED=1
unset TRITON_INTERPRET

need_gpu() {
    [[ -n $GPU ]] || { echo "no GPU"; return "$CANNOT"; }
}

# Names of required packages that are not installed, one a line. Linters are not missed.
missing() {
    "$PYTHON" - <<'PYTHON'
import re, tomllib
from importlib import metadata
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
for wanted in project["dependencies"] + project["optional-dependencies"]["dev"]:
    name = re.match(r"[\w-]+", wanted)[0]
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        if name not in ("ruff", "mypy"):
            print(name)
PYTHON
}

stage_build() {
    local pip=("$PYTHON" -m pip --disable-pip-version-check install -q) names
    if [[ -n ${WHEELS:-} ]]; then "${pip[@]}" --no-index --no-deps "$WHEELS"/*.whl || return 1; fi
    "${pip[@]}" --no-index --no-build-isolation --no-deps -e . || return 1
    mapfile -t names < <(missing)
    if ((${#names[@]})); then
        # What the GPU runs with stays as it is, whatever the missing packages would like better.
        "$PYTHON" -m pip freeze | grep -iE '^(torch|triton|numpy|transformers)==' >build/gpu/installed.txt
        "${pip[@]}" --retries 0 --timeout 10 -c build/gpu/installed.txt "${names[@]}" >/dev/null 2>&1
        mapfile -t names < <(missing)
        ((${#names[@]} == 0)) || echo "missing, and no network to fetch them: ${names[*]}; their tests cannot run"
    fi
    "$PYTHON" -c 'from semore_fast import _C; print("extension:", _C.__file__)'
}

stage_kernels() {
    need_gpu || return
    "$PYTHON" -m pytest -q -p no:cacheprovider tests/interpreted --kernels-on cuda "${EXTRA[@]}" || return
    "$PYTHON" -m pytest -q -p no:cacheprovider tests/test_twins.py tests/test_swap.py --kernels triton "${EXTRA[@]}"
}

stage_tests() {
    local files=(tests/test_{capture,compiling,optimisers,agent,agent_losses,agent_seam,feed,training,together})
    "$PYTHON" -m pytest -q -p no:cacheprovider -m 'not slow' "${files[@]/%/.py}" "${EXTRA[@]}"
}

stage_sanitize() {
    need_gpu || return
    local tool status=0 sanitizer
    sanitizer=$(command -v compute-sanitizer || ls /usr/local/cuda/bin/compute-sanitizer 2>/dev/null)
    [[ -n $sanitizer ]] || { echo "no compute-sanitizer"; return "$CANNOT"; }
    "$PYTHON" bench/each_kernel.py || return 1 # compiles, so that the tools watch the kernels alone
    for tool in memcheck racecheck; do
        echo "== $tool"
        # Each tensor an allocation of its own: within the allocator's large blocks nothing is out of bounds.
        PYTORCH_NO_CUDA_MEMORY_CACHING=1 "$sanitizer" --tool "$tool" --error-exitcode 1 \
            --target-processes application-only "$PYTHON" bench/each_kernel.py || status=1
    done
    return "$status"
}

stage_bench() {
    need_gpu || return
    local files status=0
    mapfile -t files < <(grep -lE 'cuda|gpu_timing' bench/bench_*.py | grep -v bench_guidance)
    PYTHONPATH=.:tests:bench "$PYTHON" bench/update_stages.py "$(result_of update-stages-)" --preset paper || status=1
    benchmarks "$(result_of)" "${files[@]}" || status=1
    return "$status"
}

stage_guidance() {
    need_gpu || return
    local status=0
    PYTHONPATH=.:tests:bench "$PYTHON" bench/guidance_run.py "$(result_of guidance-run-)" --frames 4000 || status=1
    benchmarks "$(result_of guidance-)" bench/bench_guidance.py || status=1
    return "$status"
}

stage_runs() {
    need_gpu || return
    local status=0
    export PYTHONPATH=.
    "$PYTHON" bench/runs.py "$(result_of runs-fast-)" 1 --preset fast --agent sac || status=1
    "$PYTHON" bench/runs.py "$(result_of runs-paper-)" 1 --preset paper || status=1
    "$PYTHON" bench/runs.py "$(result_of runs-together-)" 1,2,4,8 --preset paper --frames 5000 \
        --evaluation.every-frames 1000000 --evaluation.final-episodes 2 || status=1
    return "$status"
}

# The file for this GPU's figures; the argument begins its name.
result_of() {
    echo "$RESULTS/${1:-}$(tr -cs '[:alnum:]\n' - <<<"${GPU,,}")-$(date +%F).json"
}

# Times files of benchmarks into a file of results: benchmarks RESULT FILE...
benchmarks() {
    local result=$1 report=build/gpu/bench.json tested
    shift
    rm -f "$report"
    "$PYTHON" -m pytest -q -p no:cacheprovider "$@" --kernels triton --benchmark-only --benchmark-json="$report" \
        --benchmark-columns=min,median,iqr,rounds,iterations --benchmark-group-by=group "${EXTRA[@]}"
    tested=$?
    # pytest-benchmark writes what was measured even where a test failed: it was paid for.
    [[ -s $report ]] && "$PYTHON" bench/save.py "$report" "$result" && echo "figures: $result"
    return "$tested"
}

run_stage() {
    local name=$1 log=$LOGS/$1.log begin=$SECONDS status
    echo "=== $name (at most ${LIMIT_S[$name]} s, log $log)"
    # An interrupt, on which pytest still writes what it measured.
    timeout --signal=INT --kill-after=30 "${LIMIT_S[$name]}" bash bench/gpu.sh --inside "$name" >"$log" 2>&1
    status=$?
    tail -n "$( ((status == 0 || status == CANNOT)) && echo 3 || echo 40)" "$log"
    case $status in
        0) outcome=passed ;;
        "$CANNOT") outcome="could not run: $(tail -n 1 "$log")" unable=1 ;;
        124 | 137) outcome="stopped after ${LIMIT_S[$name]} s" failed=1 ;;
        *) outcome="FAILED, status $status" failed=1 ;;
    esac
    summary+=("$(printf '%-9s %4d s  %s' "$name" $((SECONDS - begin)) "$outcome")")
}

if [[ ${1:-} == --inside ]]; then
    "stage_$2"
    exit
fi
chosen=("$@")
((${#chosen[@]})) || chosen=("${STAGES[@]}")
for name in "${chosen[@]}"; do
    [[ -n ${LIMIT_S[$name]:-} ]] || { echo "no stage $name; there are: ${STAGES[*]} guidance runs" >&2; exit 1; }
done
GPU=$("$PYTHON" -c 'import torch; print(torch.cuda.get_device_name() if torch.cuda.is_available() else "")') ||
    { echo "$PYTHON has no working torch; name one that has: PYTHON=... bench/gpu.sh" >&2; exit 1; }
export GPU PYTHON
mkdir -p build/gpu "$RESULTS" "$LOGS"
failed=0 unable=0 summary=()
echo "GPU: ${GPU:-none}; $("$PYTHON" --version), $PYTHON"
for name in "${chosen[@]}"; do run_stage "$name"; done
printf '\nSummary\n'
printf '%s\n' "${summary[@]}"
if ((failed)); then exit 1; fi
if ((unable)); then exit 2; fi
