"""A fault is counted every time, and said once; a loss that goes on is said again from time to time."""

import logging
import time

import pytest

from mmtrace.recording import guard


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.DEBUG, "mmtrace")

    def lines():
        guard.say()
        return [record.getMessage() for record in caplog.records if record.name == "mmtrace"]

    return lines


def test_a_cause_is_counted_every_time_and_said_once(said):
    for _ in range(3):
        guard.report("a cause", "it broke")
    assert guard.faults["a cause"] == 3
    assert said() == ["it broke"]


def test_a_cause_that_goes_on_is_said_again_with_how_often_it_happened(said, monkeypatch):
    moment = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: moment)
    for _ in range(3):
        guard.report("a loss", "it is lost", again_after=600)
    moment += 601
    for _ in range(3):
        guard.report("a loss", "it is lost", again_after=600)
    assert said() == ["it is lost", "it is lost (4 times until now)"]
