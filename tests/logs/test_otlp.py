"""Records on their way through a real LoggerProvider, and what they are when they arrive."""

import logging
import math

import pytest
from opentelemetry._logs import _internal as api

import mmtrace
from mmtrace.calls.context import suppress
from mmtrace.logs import ContextFilter, OtlpHandler
from mmtrace.otlp.decode import value_of
from mmtrace.recording import guard


@pytest.fixture
def logger(logger):
    logger.addHandler(OtlpHandler())
    return logger


def attributes(record):
    return {pair.key: value_of(pair.value) for pair in record.attributes}


def test_a_record_arrives_with_its_trace_its_model_its_place_in_the_code_and_its_extras(logger, arrived, recorded):
    with mmtrace.model_call("ocr"):
        logger.warning("%d pages", 3, extra={"page": {"number": 7, "words": ["a", "b"]}})
    span = recorded.one()
    ((scope, record),) = arrived()
    assert scope == "shop.basket"
    assert record.body.string_value == "3 pages"
    assert (record.severity_number, record.severity_text) == (13, "WARNING")
    assert int.from_bytes(record.trace_id, "big") == span.trace_id
    assert int.from_bytes(record.span_id, "big") == span.span_id
    found = attributes(record)
    assert found.pop("code.file.path") == __file__
    assert found.pop("code.line.number") > 0
    assert found.pop("code.function.name").startswith("test_a_record_arrives")
    assert found == {"mmtrace.model.name": "ocr", "page": {"number": 7, "words": ("a", "b")}}


@pytest.mark.parametrize(
    ("level", "number"), [(5, 1), (10, 5), (20, 9), (25, 9), (30, 13), (40, 17), (50, 21), (70, 21)]
)
def test_levels_become_severities(level, number, arrived):
    logger = logging.Logger("x")
    logger.addHandler(OtlpHandler())
    logger.log(level, "x")
    ((_, record),) = arrived()
    assert record.severity_number == number


def test_an_exception_arrives_as_its_three_attributes(logger, arrived):
    try:
        raise ValueError("no page")
    except ValueError:
        logger.exception("failed")
    found = attributes(arrived()[0][1])
    assert (found["exception.type"], found["exception.message"]) == ("ValueError", "no page")
    assert "raise ValueError" in found["exception.stacktrace"]


def test_no_extra_costs_the_record(logger, arrived):
    logger.info(
        "half \ud800", extra={"a": math.nan, "b": 1 << 90, "c": "\ud800", "d": object(), "e": None, "f": b"\xff"}
    )
    found = attributes(arrived()[0][1])
    assert {key: found[key] for key in "abcf"} == {"a": "nan", "b": str(1 << 90), "c": "?", "f": "\\xff"}
    assert not {"d", "e"} & found.keys()


def test_two_handlers_on_the_way_of_a_record_send_it_once(logger, arrived):
    logger.addHandler(OtlpHandler())
    logger.info("once")
    assert len(arrived()) == 1


def test_filters_of_a_handler_hold(logger, arrived):
    logger.handlers[0].addFilter(lambda record: record.msg != "secret")
    logger.info("secret")
    logger.info("said")
    assert [record.body.string_value for _, record in arrived()] == ["said"]


def test_what_our_own_requests_log_is_not_sent(logger, arrived):
    with suppress():
        logger.debug("urllib3 says")
    assert arrived() == []


def test_what_is_logged_while_a_record_is_handed_over_does_not_go_round(logger, arrived):
    sink = api._LOGGER_PROVIDER._multi_log_record_processor._log_record_processors[0]
    emit = sink.on_emit
    sink.on_emit = lambda record: (logger.info("again"), emit(record))
    logger.info("outer")
    assert [record.body.string_value for _, record in arrived()] == ["outer"]
    assert guard.faults["logs.recursion"] == 1


def test_a_record_that_another_thread_sends_belongs_to_the_span_of_the_call(arrived, recorded):
    record = logging.makeLogRecord({"msg": "x", "levelno": 20, "levelname": "INFO"})
    with mmtrace.span("request"):
        ContextFilter().filter(record)
    span = recorded.one()
    OtlpHandler().handle(record)
    ((_, sent),) = arrived()
    assert (int.from_bytes(sent.trace_id, "big"), int.from_bytes(sent.span_id, "big")) == (span.trace_id, span.span_id)


def test_ids_of_somebody_else_that_are_no_ids_are_left_alone(logger, arrived):
    logger.info("x", extra={"trace_id": "abc", "span_id": "not hexadecimal"})
    assert arrived()[0][1].trace_id == b""
