#!/usr/bin/env bash
# Runs the given unit tests on every supported Python that is installed, on the newest OpenTelemetry that is allowed,
# and once more on the oldest. A Python that is missing is named.
set -euo pipefail

uv=${UV:-.venv/bin/uv}
oldest="opentelemetry-api==1.41.0 opentelemetry-sdk==1.41.0 opentelemetry-exporter-otlp==1.41.0"

find_python() {
    local candidate
    for candidate in "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info[:2] != tuple(map(int, '$1'.split('.'))))" 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
}

run_tests() {
    local name=$1 python=$2 pins=$3
    shift 3
    local environment=.venv-$name
    [ -x "$environment/bin/python" ] || "$python" -m venv --without-pip "$environment"
    # shellcheck disable=SC2086  # the pins are words
    VIRTUAL_ENV=$PWD/$environment "$uv" pip install --quiet --editable '.[server,demo]' --group dev $pins
    echo "== Python $name: $("$environment/bin/python" -c 'from importlib.metadata import version as v; print("OpenTelemetry", v("opentelemetry-sdk"))')"
    "$environment/bin/python" -m pytest -q "$@"
}

missing=()
for version in 3.10 3.11 3.12 3.13; do
    python=$(find_python "$version")
    if [ -n "$python" ]; then
        run_tests "$version" "$python" "" "$@"
    else
        missing+=("$version")
    fi
done
run_tests 3.10-oldest "$(find_python 3.10)" "$oldest" "$@"
if [ ${#missing[@]} -gt 0 ]; then
    echo "LEFT OUT, not installed here: Python ${missing[*]}" >&2
    [ -z "${CI:-}" ] || exit 1
fi
