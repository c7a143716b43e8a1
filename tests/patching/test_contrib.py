import os
from dataclasses import replace

import pytest

from mmtrace.patching import process
from mmtrace.patching.options import Options, options, put_options
from mmtrace.patching.patch import Instrumentation, Patch
from mmtrace.testing import record_spans

pytest.importorskip("opentelemetry.instrumentation.sqlite3", reason="the extra [contrib] is not installed")

import sqlite3

from opentelemetry.instrumentation.sqlite3 import SQLite3Instrumentor

ONLY = Options(enabled=frozenset({"sqlite3"}))
TARGET = "sqlite3:connect"


def leave(wrapped, instance, args, kwargs):
    yield


OURS = Instrumentation(
    "ours", patches=(Patch(TARGET, leave),), superseded_by=("opentelemetry.instrumentation.sqlite3",)
)


@pytest.fixture
def instrument(monkeypatch):
    before = options()
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "")
    monkeypatch.delenv("OTEL_SEMCONV_STABILITY_OPT_IN")
    yield lambda: process.instrument(ONLY)
    process.uninstrument()
    put_options(before)


@pytest.fixture
def theirs():
    instrumentor = SQLite3Instrumentor()
    yield instrumentor
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def rows():
    return [(row.library, row.state, row.why) for row in process.rows() if row.state != "off"]


def test_a_database_is_left_to_their_instrumentor_with_the_standard_names(instrument):
    instrument()
    assert os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] == "http,database"
    with record_spans() as recorded:
        connection = sqlite3.connect(":memory:")
        connection.cursor().execute("select 1")
        connection.close()
        assert recorded.one().attributes["db.system.name"] == "sqlite"
    assert rows() == [("sqlite3", "patched", "")]


def test_their_instrumentors_are_asked_for_the_next_genai_names_where_the_user_wants_them(instrument):
    process.instrument(replace(ONLY, next_genai_names=True))
    assert os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] == "http,database,gen_ai_latest_experimental"


def test_undo_stops_their_instrumentor(instrument):
    instrument()
    process.uninstrument()
    assert not SQLite3Instrumentor().is_instrumented_by_opentelemetry


def test_names_that_the_user_has_chosen_stay(instrument, monkeypatch):
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", "database/dup")
    instrument()
    assert os.environ["OTEL_SEMCONV_STABILITY_OPT_IN"] == "database/dup"


def test_an_instrumentor_that_the_application_has_started_is_left_to_it(instrument, theirs):
    theirs.instrument()
    instrument()
    assert rows() == [("sqlite3", "stepped aside", "the application has started it")]
    process.uninstrument()
    assert theirs.is_instrumented_by_opentelemetry


def test_ours_steps_aside_where_theirs_has_patched_the_library(engine, theirs):
    theirs.instrument()
    engine.instrument([OURS], Options())
    (row,) = engine.rows()
    assert (row.state, row.why) == ("stepped aside", "opentelemetry.instrumentation.sqlite3 has patched it")


def test_ours_steps_aside_when_theirs_patches_the_library_afterwards(engine, theirs):
    engine.instrument([OURS], Options())
    assert [row.state for row in engine.rows()] == ["patched"]
    theirs.instrument()
    assert [row.state for row in engine.rows()] == ["stepped aside"]
    theirs.uninstrument()


def test_an_instrumentor_that_fails_is_reported_and_breaks_nothing(instrument, monkeypatch, faults):
    def fail(self, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(SQLite3Instrumentor, "_instrument", fail)
    instrument()
    assert rows() == [("sqlite3", "failed", "ZeroDivisionError()")]
    assert faults["contrib sqlite3"] == 1


def test_an_instrumentor_that_does_not_support_the_installed_version_is_off(instrument, monkeypatch):
    monkeypatch.setattr(SQLite3Instrumentor, "_check_dependency_conflicts", lambda _: "requested: sqlite3 >= 99")
    instrument()
    assert ("sqlite3", "off", "requested: sqlite3 >= 99") in [
        (row.library, row.state, row.why) for row in process.rows()
    ]
