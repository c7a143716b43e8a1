"""What the doctor says of this side: settings, libraries, and what waits on disk."""

import json
import subprocess
import sys

import pytest

from mmtrace.doctor import here
from mmtrace.patching.options import Options
from mmtrace.patching.patch import Instrumentation

NOWHERE = ("--traces-exporter", "console", "--metrics-exporter", "none", "--logs-exporter", "none")


def test_every_setting_in_force_is_shown_with_where_it_comes_from(doctor):
    _, said = doctor(*NOWHERE, OTEL_BSP_SCHEDULE_DELAY="250", MMTRACE_VERSION="7")
    for row in ("service shop --service", "version 7 MMTRACE_VERSION", "schedule_delay 0.25 OTEL_BSP_SCHEDULE_DELAY"):
        assert row in said
    assert "shutdown_timeout" not in said


def test_signals_that_differ_are_shown_one_by_one(doctor):
    _, said = doctor(*NOWHERE, OTEL_EXPORTER_OTLP_LOGS_PROTOCOL="grpc")
    assert "protocol of logs grpc OTEL_EXPORTER_OTLP_LOGS_PROTOCOL" in said
    assert "protocol of traces" not in said


def test_sources_that_add_up_are_all_named(doctor):
    _, said = doctor(*NOWHERE, OTEL_RESOURCE_ATTRIBUTES="a=1", MMTRACE_RESOURCE="b=2")
    assert "MMTRACE_RESOURCE, OTEL_RESOURCE_ATTRIBUTES" in said


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_secrets_are_hidden(doctor, form):
    _, said = doctor(
        *NOWHERE,
        *form,
        OTEL_EXPORTER_OTLP_HEADERS="authorization=hush",
        https_proxy="http://me:hush@proxy:1",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://me:hush@collector:4318/?key=hush",
    )
    assert "authorization (hidden)" in said
    assert "http://collector:4318/" in said
    assert "hush" not in said


def test_a_standard_variable_that_is_misspelt_is_found(doctor):
    code, said = doctor(*NOWHERE, OTEL_EXPORTER_OTLP_ENDPIONT="http://collector:4318", OTEL_PYTHON_EXCLUDED_URLS="/ok")
    assert code == 1
    assert "nothing reads OTEL_EXPORTER_OTLP_ENDPIONT Did you mean OTEL_EXPORTER_OTLP_ENDPOINT?" in said
    assert "OTEL_PYTHON_EXCLUDED_URLS" not in said


def test_a_standard_variable_that_is_left_out_is_said(doctor):
    code, said = doctor(*NOWHERE, OTEL_BSP_SCHEDULE_DELAY="soon")
    assert code == 1
    assert "OTEL_BSP_SCHEDULE_DELAY='soon' is wrong" in said


@pytest.mark.parametrize(
    ("variables", "meaning"),
    [
        ({"OTEL_SDK_DISABLED": "true"}, "nothing is recorded"),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, "leaves out every trace"),
        ({"OTEL_TRACES_EXPORTER": "none"}, "spans go nowhere"),
    ],
)
def test_settings_that_record_nothing_are_a_problem(doctor, variables, meaning):
    code, said = doctor("--metrics-exporter", "none", "--logs-exporter", "none", **variables)
    assert code == 1
    assert meaning in said


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--nonsense",), "--nonsense"), (("--protocol", "htp"), "http/protobuf"), (("--wait", "long"), "--wait")],
)
def test_wrong_usage_ends_with_two_and_says_what_is_wrong(options, said):
    done = subprocess.run(
        [sys.executable, "-m", "mmtrace", "doctor", *options], capture_output=True, text=True, timeout=300
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_libraries_are_listed_with_their_versions(doctor):
    _, said = doctor(*NOWHERE)
    assert "starlette" in said and "patched when imported" in said


def test_a_version_that_is_not_supported_is_said(monkeypatch):
    found = [Instrumentation("pytest", "pytest", "<1"), Instrumentation("gone", "no-such-package", ">=1")]
    monkeypatch.setattr(here, "discovered", lambda _: found)
    section = here.of_libraries(Options())
    (finding,) = section.findings
    assert "pytest" in finding.text and "not patched: <1 is supported" in finding.text
    assert "not installed: gone" in section.lines


def test_what_waits_on_disk_is_counted(doctor, tmp_path):
    program = """
import mmtrace
mmtrace.configure(service="shop", endpoint="http://127.0.0.1:9", spool="always", shutdown_timeout=0.2)
with mmtrace.span("x"):
    pass
"""
    state = {"MMTRACE_SPOOL_DIR": str(tmp_path), "MMTRACE_METRICS_DIR": str(tmp_path / "metrics")}
    environment = {**state, "PATH": "", "HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=300, stderr=subprocess.DEVNULL)
    _, said = doctor(*NOWHERE, "--json")
    (disk,) = [section for section in json.loads(said)["sections"] if section["title"] == "On disk"]
    assert disk["facts"]["bytes"] > 0
    assert disk["facts"]["folder"].startswith(str(tmp_path))
    assert "bytes wait in" in doctor(*NOWHERE)[1]
