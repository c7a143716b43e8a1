"""One JSON object a line, whatever a program logs."""

import io
import json
import logging
import math
import pickle
import queue
import re
import threading
from logging.handlers import QueueHandler, QueueListener

import pytest
from opentelemetry import baggage, context

import mmtrace
from mmtrace.logs import ContextFilter, JsonFormatter, JsonHandler
from mmtrace.recording import guard


def ids(span):
    return f"{span.trace_id:032x}", f"{span.span_id:016x}"


def test_a_line_has_time_level_service_logger_message_trace_model_and_fields(logger, lines, recorded):
    with mmtrace.model_call("bge-reranker", task="rerank"):
        logger.warning("%d of %s are left", 2, "five", extra={"page": 7, "tags": ["a", "b"]})
    span = recorded.one()
    (line,) = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line.pop("timestamp"))
    assert (line.pop("trace_id"), line.pop("span_id")) == ids(span)
    assert line == {
        "level": "WARNING",
        "service": "test",
        "logger": "shop.basket",
        "message": "2 of five are left",
        "model": "bge-reranker",
        "fields": {"page": 7, "tags": ["a", "b"]},
    }


def test_outside_of_a_span_the_line_has_no_trace_and_no_model(logger, lines):
    logger.info("alone")
    assert lines()[0].keys() == {"timestamp", "level", "logger", "message"}


def test_an_exception_is_told_with_type_message_and_stacktrace_on_the_same_line(logger, lines):
    try:
        raise KeyError("basket\n7")
    except KeyError:
        logger.exception("failed")
    exception = lines()[0]["exception"]
    assert (exception["type"], exception["message"]) == ("KeyError", "'basket\\n7'")
    assert "raise KeyError" in exception["stacktrace"]


class Rude:
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (math.nan, "nan"),
        (-math.inf, "-inf"),
        (1 << 80, str(1 << 80)),
        (b"\xff\0", "\\xff\x00"),
        ("half \ud800", "half ?"),
        ({1: {"deep": (1, 2)}}, {"1": {"deep": [1, 2]}}),
        (Rude(), None),
        (None, None),
    ],
)
def test_any_extra_makes_a_line_that_is_json(logger, lines, given, told):
    logger.info("x", extra={"value": given})
    assert lines()[0]["fields"] == {"value": told}


def test_an_extra_that_contains_itself_makes_a_line(logger, lines):
    loop = {}
    loop["self"] = loop
    logger.info("x", extra={"value": loop})
    assert lines()[0]["fields"] == {"value": {"self": None}}


def test_arguments_that_do_not_fit_leave_the_message_as_it_was_written(logger, lines):
    logger.info("%d pages", "many")
    assert lines()[0]["message"] == "%d pages"


def test_a_message_of_several_lines_is_one_line(logger, lines):
    logger.info("a\nb\u2028c")
    assert lines()[0]["message"] == "a\nb\u2028c"


def test_a_stream_that_is_closed_costs_the_line_and_nothing_else(logger, monkeypatch):
    monkeypatch.setattr(guard, "strict", False)
    stream = io.StringIO()
    stream.close()
    logger.addHandler(JsonHandler(stream))
    logger.info("lost")
    assert guard.faults["logs.write"] == 1


def test_lines_go_to_whatever_is_standard_output_now(logger, capsys):
    logger.addHandler(JsonHandler())
    logger.info("here")
    assert json.loads(capsys.readouterr().out)["message"] == "here"


def test_two_handlers_on_the_way_of_a_record_write_it_once(logger, lines):
    (handler,) = logger.handlers
    logger.addHandler(JsonHandler(handler.stream))
    logger.info("once")
    logger.info("once")
    assert len(lines()) == 2


def test_what_the_consumer_of_a_stream_logs_does_not_carry_the_streams_span(logger, lines, recorded):
    @mmtrace.model("writer", task="generate")
    def words():
        logger.info("producer")
        yield "a"
        logger.info("producer")

    with mmtrace.span("request"):
        for _ in words():
            logger.info("consumer")
    stream, request = recorded.take()
    found = [(line["message"], line["span_id"], line.get("model")) for line in lines()]
    assert found == [
        ("producer", ids(stream)[1], "writer"),
        ("consumer", ids(request)[1], None),
        ("producer", ids(stream)[1], "writer"),
    ]


def test_a_thread_started_inside_a_call_logs_the_model_of_the_call(logger, lines, recorded):
    with mmtrace.model_call("ocr") as call:
        here = context.get_current()
        thread = threading.Thread(target=lambda: context.attach(here) and logger.info("inside"))
        thread.start()
        thread.join()
    assert call.ended
    recorded.take()
    assert lines()[0]["model"] == "ocr"


def test_baggage_is_not_written(logger, lines, recorded):
    token = context.attach(baggage.set_baggage("customer", "secret-7"))
    with mmtrace.span("x"):
        logger.info("x")
    context.detach(token)
    recorded.take()
    assert "secret-7" not in json.dumps(lines())


def test_a_filter_fills_formats_of_ones_own_and_never_takes_the_place_of_an_extra(logger, recorded):
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(ContextFilter())
    handler.setFormatter(logging.Formatter("[%(trace_id)s|%(span_id)s|%(service)s|%(model)s] %(message)s"))
    logger.addHandler(handler)
    with mmtrace.model_call("ocr"):
        logger.info("in")
    logger.info("out", extra={"model": "mine"})
    trace, span = ids(recorded.one())
    assert stream.getvalue() == f"[{trace}|{span}|test|ocr] in\n[||test|mine] out\n"


def test_a_record_that_another_thread_writes_carries_the_context_of_the_call(logger, recorded):
    stream, waiting = io.StringIO(), queue.SimpleQueue()
    handler = QueueHandler(waiting)
    handler.addFilter(ContextFilter())
    logger.addHandler(handler)
    listener = QueueListener(waiting, JsonHandler(stream))
    listener.start()
    with mmtrace.model_call("ocr"):
        logger.info("x", extra={"page": 1})
    listener.stop()
    line = json.loads(stream.getvalue())
    assert (line["trace_id"], line["span_id"]) == ids(recorded.one())
    assert (line["model"], line["fields"]) == ("ocr", {"page": 1})


def test_a_record_can_be_pickled_after_every_handler(logger, lines):
    kept = []
    logger.addFilter(lambda record: kept.append(record) or True)
    logger.info("x")
    assert pickle.loads(pickle.dumps(kept[0])).getMessage() == "x"
    assert set(vars(kept[0])) == set(vars(logging.makeLogRecord({})))


def test_the_formatter_serves_any_handler():
    record = logging.makeLogRecord({"msg": "x", "levelname": "NOTICE", "name": "app"})
    line = json.loads(JsonFormatter().format(record))
    assert (line["level"], line["logger"], line["message"]) == ("NOTICE", "app", "x")
