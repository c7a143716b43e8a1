"""The processors in structlog's own chain."""

import io
import json
import logging

import pytest
import structlog

import mmtrace
from mmtrace.logs import JsonHandler, otlp_processor, processor


@pytest.fixture
def stream():
    return io.StringIO()


@pytest.fixture
def log(stream):
    chain = [structlog.processors.add_log_level, processor, structlog.processors.JSONRenderer()]
    return structlog.wrap_logger(structlog.PrintLogger(stream), processors=chain)


def test_events_have_trace_span_service_and_model(log, stream, recorded):
    with mmtrace.model_call("ocr"):
        log.info("read", page=7)
    log.info("after")
    span = recorded.one()
    inside, after = map(json.loads, stream.getvalue().splitlines())
    assert inside == {
        "event": "read",
        "page": 7,
        "level": "info",
        "service": "test",
        "model": "ocr",
        "trace_id": f"{span.trace_id:032x}",
        "span_id": f"{span.span_id:016x}",
    }
    assert after == {"event": "after", "level": "info", "service": "test"}


def test_what_the_user_has_bound_is_kept(log, stream, recorded):
    with mmtrace.model_call("ocr"):
        log.bind(model="mine").info("x")
    recorded.take()
    assert json.loads(stream.getvalue())["model"] == "mine"


def test_events_are_sent_by_otlp_and_rendered_as_before(stream, arrived, recorded):
    chain = [processor, otlp_processor, structlog.processors.JSONRenderer()]
    log = structlog.wrap_logger(structlog.PrintLogger(stream), processors=chain)
    with mmtrace.model_call("ocr"):
        log.error("failed", page=7)
    span = recorded.one()
    ((_, record),) = arrived()
    assert record.body.string_value == "failed"
    assert (record.severity_number, record.severity_text) == (17, "ERROR")
    assert int.from_bytes(record.span_id, "big") == span.span_id
    assert {pair.key for pair in record.attributes} == {"page", "mmtrace.model.name"}
    assert json.loads(stream.getvalue())["page"] == 7


def test_an_exception_of_an_event_is_sent(stream, arrived):
    chain = [otlp_processor, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    log = structlog.wrap_logger(structlog.PrintLogger(stream), processors=chain)
    try:
        raise OSError("gone")
    except OSError:
        log.exception("failed")
    found = {pair.key: pair.value.string_value for pair in arrived()[0][1].attributes}
    assert (found["exception.type"], found["exception.message"]) == ("OSError", "gone")


@pytest.mark.parametrize(
    "last", [structlog.stdlib.render_to_log_kwargs, structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
)
def test_events_that_go_through_the_standard_library_are_lines_like_all_others(last, stream, recorded):
    target = logging.Logger("app")
    target.addHandler(JsonHandler(stream))
    log = structlog.wrap_logger(target, processors=[processor, last], wrapper_class=structlog.stdlib.BoundLogger)
    with mmtrace.model_call("ocr"):
        log.warning("read", page=7)
    recorded.take()
    line = json.loads(stream.getvalue())
    assert (line["message"], line["level"], line["logger"], line["model"]) == ("read", "WARNING", "app", "ocr")
    assert line["fields"] == {"page": 7}
