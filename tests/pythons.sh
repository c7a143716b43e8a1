#!/usr/bin/env bash
# Runs the given tests on every supported Python that is installed, each with the newest of every library that is
# allowed, and once more on the oldest Python with the oldest that pyproject.toml allows. RUNS="3.13 3.10-oldest"
# chooses some of these runs. A failure does not end the others; the end says how each went and what was left out.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

uv=${UV:-$PWD/.venv/bin/uv}
output=$(mktemp)
trap 'rm -f "$output"' EXIT

# Only a Python that runs counts: a shim of pyenv stands on the PATH also for versions that are not selected.
find_python() {
    local candidate
    for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python "$("$uv" python find --no-python-downloads "$1" 2>/dev/null)"; do
        if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

# The newest OpenTelemetry comes without [contrib], which may hold it back by a release; the oldest comes with it. There
# every library of ours is at its lower bound, while the tools of the tests are the newest that go with those.
install_libraries() {
    local name=$1 environment=$2
    local install=("$uv" pip install --quiet --python "$environment/bin/python" --upgrade --group dev)
    if [[ $name == *-oldest ]]; then
        "$uv" pip compile --quiet --python "$environment/bin/python" --resolution lowest-direct --extra all \
            --no-header --no-annotate pyproject.toml --output-file "$environment/bounds.txt" >/dev/null &&
            "${install[@]}" --editable '.[all]' --constraints "$environment/bounds.txt"
    else
        "${install[@]}" --editable '.[server,demo,rules,gpu]'
    fi
}

run() {
    local name=$1 python environment=$PWD/.venv-$1
    shift
    if ! python=$(find_python "${name%-oldest}"); then
        left_out+=("$name")
        return
    fi
    echo "== $name: $python"
    if ! { [ -x "$environment/bin/python" ] || "$python" -m venv --without-pip "$environment"; } ||
        ! install_libraries "$name" "$environment"; then
        failed=1
        summary+=("$name: its libraries cannot be installed")
        return
    fi
    "$environment/bin/python" -m pytest -q "$@" 2>&1 | tee "$output" || failed=1
    summary+=("$name: $(tail -n 1 "$output"); Python $("$environment/bin/python" -c 'import platform
from importlib.metadata import version
print(platform.python_version(), "OpenTelemetry", version("opentelemetry-sdk"))')")
}

failed=0 left_out=() summary=()
for name in ${RUNS:-3.10 3.11 3.12 3.13 3.10-oldest}; do
    run "$name" "$@"
done
echo "== Summary"
[ ${#summary[@]} -eq 0 ] || printf '%s\n' "${summary[@]}"
[ ${#left_out[@]} -eq 0 ] || echo "LEFT OUT, no such Python is installed here: ${left_out[*]}"
[ ${#summary[@]} -gt 0 ] || echo "Nothing ran." >&2
[ ${#summary[@]} -gt 0 ] && exit "$failed"
