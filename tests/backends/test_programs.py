"""`make backends`: what is complete is left alone, what is not is built, and without Go one hears what to do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parent / "programs.py"


def get(*names, **environment):
    command = [sys.executable, PROGRAMS, *names]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300)


needs_go = pytest.mark.skipif(shutil.which("go") is None and "CI" not in os.environ, reason="Go is not installed")


@needs_go
def test_a_program_is_built_once_and_an_interrupted_build_does_not_count(tmp_path):
    partial = tmp_path / "kustomize-5.8.1.partial"
    partial.mkdir()
    (partial / "kustomize").write_text("half a program")
    first = get("kustomize", BACKENDS_CACHE=str(tmp_path))
    assert first.returncode == 0, first.stderr
    assert "kustomize 5.8.1: built in" in first.stdout
    said = subprocess.run([tmp_path / "bin" / "kustomize", "version"], capture_output=True, text=True, check=True)
    assert "5.8.1" in said.stdout
    built = (tmp_path / "bin" / "kustomize").stat().st_mtime_ns
    second = get("kustomize", BACKENDS_CACHE=str(tmp_path))
    assert "kustomize 5.8.1: there" in second.stdout
    assert (tmp_path / "bin" / "kustomize").stat().st_mtime_ns == built


@needs_go
def test_a_build_that_fails_says_why_and_leaves_nothing_that_looks_complete(tmp_path):
    done = get("kustomize", BACKENDS_CACHE=str(tmp_path), GOFLAGS="-mod=vendor")
    assert done.returncode == 1
    assert "failed" in done.stderr
    assert not (tmp_path / "kustomize-5.8.1").exists()


def test_a_machine_without_go_hears_of_the_containers(tmp_path):
    done = get(BACKENDS_CACHE=str(tmp_path), PATH=str(tmp_path))
    assert done.returncode == 1
    assert "docker compose -f collector-config/docker-compose.yaml up" in done.stderr


def test_a_wrong_name_is_answered_with_the_right_ones(tmp_path):
    done = get("otelcoll", BACKENDS_CACHE=str(tmp_path))
    assert done.returncode == 2
    assert "otelcol" in done.stderr
