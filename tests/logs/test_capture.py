"""The records of a whole program, by settings alone, in processes of their own."""

import json
import logging
import subprocess
import sys
import textwrap

import pytest

from mmtrace.logs.capture import capture


class Keeping(logging.Handler):
    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


@pytest.fixture
def kept():
    handler = Keeping()
    stop = capture([handler])
    yield handler.messages
    stop()


def run(program, receiver, **environment):
    """Run `program`; return its lines on standard output and on standard error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        env={**receiver.environment, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stdout.splitlines(), done.stderr.splitlines()


def test_records_of_loggers_that_do_not_propagate_are_taken_too(kept, logger):
    logger.info("x")
    assert kept == ["x"]


def test_levels_and_filters_of_the_program_hold(kept):
    logger = logging.Logger("x", logging.WARNING)
    logger.addFilter(lambda record: "secret" not in record.msg)
    logger.info("too little")
    logger.error("secret")
    logger.error("said")
    assert kept == ["said"]


def test_a_second_capture_takes_the_place_of_the_first_and_ending_both_leaves_nothing():
    before = logging.Logger.callHandlers, logging.lastResort, logging.getLogger().level
    first, second = Keeping(), Keeping()
    end_first = capture([first], level=logging.DEBUG, alone=True)
    end_second = capture([second], level=logging.INFO, alone=True)
    end_first()
    logging.Logger("x").error("said")
    assert (first.messages, second.messages) == ([], ["said"])
    assert logging.getLogger().level == logging.INFO
    end_second()
    assert (logging.Logger.callHandlers, logging.lastResort, logging.getLogger().level) == before


def test_ending_it_under_the_patch_of_somebody_else_leaves_theirs(monkeypatch):
    handler = Keeping()
    end = capture([handler])
    inner = logging.Logger.callHandlers
    theirs = lambda self, record: inner(self, record)
    monkeypatch.setattr(logging.Logger, "callHandlers", theirs)
    end()
    logging.Logger("x").error("said")
    assert logging.Logger.callHandlers is theirs
    assert handler.messages == []


def test_a_program_without_any_logging_of_its_own_writes_json_and_nothing_else(receiver):
    out, errors = run(
        """
        import logging, mmtrace
        mmtrace.configure(service="shop", log_handlers="json", log_level="info")
        with mmtrace.model_call("ocr"):
            logging.getLogger("app").info("read")
            logging.getLogger("app").warning("torn")
        """,
        receiver,
    )
    lines = [json.loads(line) for line in out]
    assert [(line["message"], line["service"], line["model"]) for line in lines] == [
        ("read", "shop", "ocr"),
        ("torn", "shop", "ocr"),
    ]
    (span,) = receiver.spans()
    assert {line["trace_id"] for line in lines} == {f"{span.trace_id:032x}"}
    assert errors == []
    assert receiver.log_bodies() == []


def test_basic_config_after_configure_does_what_it_always_does_and_records_arrive(receiver):
    out, errors = run(
        """
        import logging, mmtrace
        mmtrace.configure(service="shop", log_handlers="otlp")
        logging.basicConfig(level="INFO", format="%(message)s")
        with mmtrace.span("request"):
            logging.info("said")
        mmtrace.flush()
        """,
        receiver,
    )
    assert (out, errors) == ([], ["said"])
    assert receiver.log_bodies() == ["said"]
    (record,) = receiver.requests("/v1/logs")[0].resource_logs[0].scope_logs[0].log_records
    assert int.from_bytes(record.span_id, "big") == receiver.spans()[0].span_id


def test_dict_config_does_not_end_it(receiver):
    run(
        """
        import logging.config, mmtrace
        mmtrace.configure(log_handlers="otlp")
        logging.config.dictConfig({"version": 1, "root": {"level": "INFO", "handlers": []}})
        logging.info("said")
        """,
        receiver,
    )
    assert receiver.log_bodies() == ["said"]


def test_what_the_transport_logs_about_its_requests_makes_no_further_requests(receiver):
    run(
        """
        import logging, time, mmtrace
        mmtrace.configure(log_handlers="otlp", log_level="debug", schedule_delay=0.01)
        logging.getLogger("app").debug("said")
        for _ in range(20):
            mmtrace.flush()
            time.sleep(0.01)
        """,
        receiver,
    )
    assert [body for body in receiver.log_bodies() if body == "said"] == ["said"]
    assert len(receiver.bodies["/v1/logs"]) < 5


def test_configuring_twice_sends_every_record_once(receiver):
    out, _ = run(
        """
        import logging, mmtrace
        mmtrace.configure(log_handlers="json,otlp")
        mmtrace.configure(version="2")
        logging.error("said")
        mmtrace.shutdown()
        logging.error("after")
        """,
        receiver,
    )
    assert len(out) == 1
    assert receiver.log_bodies() == ["said"]


def test_variables_do_it_without_a_change_of_the_program(receiver):
    out, _ = run("import mmtrace.auto, logging; logging.error('said')", receiver, MMTRACE_LOG_HANDLERS="json,otlp")
    assert json.loads(out[0])["message"] == "said"
    assert receiver.log_bodies() == ["said"]


def test_lines_are_written_where_nothing_is_recorded(receiver):
    out, _ = run(
        "import mmtrace, logging; mmtrace.configure(log_handlers='json,otlp', disabled=True); logging.error('said')",
        receiver,
    )
    assert json.loads(out[0])["message"] == "said"
    assert receiver.log_bodies() == []


def test_a_forked_child_sends_its_own_records(receiver):
    run(
        """
        import logging, multiprocessing, mmtrace
        def work():
            logging.error("child")
        mmtrace.configure(log_handlers="otlp")
        logging.error("parent")
        child = multiprocessing.get_context("fork").Process(target=work)
        child.start()
        child.join()
        """,
        receiver,
    )
    assert sorted(receiver.log_bodies()) == ["child", "parent"]


def test_a_forked_child_tells_its_own_process(receiver):
    run(
        """
        import os, mmtrace
        from opentelemetry._logs import get_logger
        mmtrace.configure()
        get_logger("app").emit(body="parent")
        if os.fork() == 0:
            get_logger("app").emit(body="child")
            mmtrace.shutdown()
            os._exit(0)
        os.wait()
        """,
        receiver,
    )
    processes = {
        pair.value.int_value
        for request in receiver.requests("/v1/logs")
        for resource in request.resource_logs
        for pair in resource.resource.attributes
        if pair.key == "process.pid"
    }
    assert sorted(receiver.log_bodies()) == ["child", "parent"]
    assert len(processes) == 2


def test_records_go_to_what_was_configured_last_and_on_after_a_wrong_setting(receiver):
    run(
        """
        import mmtrace
        from mmtrace.errors import ConfigurationError
        from opentelemetry._logs import get_logger
        mmtrace.configure(endpoint="http://127.0.0.1:9", shutdown_timeout=0.1)
        mmtrace.shutdown()
        mmtrace.configure()
        try:
            mmtrace.configure(propagators="nonsense")
        except ConfigurationError:
            get_logger("app").emit(body="said")
        """,
        receiver,
    )
    assert receiver.log_bodies() == ["said"]


def test_redact_sees_what_records_say_before_they_are_written(receiver):
    out, _ = run(
        """
        import logging, mmtrace, mmtrace.logs
        def hide(key, value):
            logging.warning("4242 seen")
            return None if key == "secret" else value.replace("4242", "***") if isinstance(value, str) else value
        logging.basicConfig(handlers=[mmtrace.logs.JsonHandler()])  # stays when shutdown() ends what the setting does
        mmtrace.configure(log_handlers="json", redact=hide)
        try:
            raise ValueError("bad 4242")
        except ValueError:
            logging.exception("card %s", "4242", extra={"card": "4242", "secret": "x", "number": 7})
        mmtrace.shutdown()
        logging.error("late 4242")
        """,
        receiver,
    )
    assert not any("4242" in line for line in out)
    lines = [json.loads(line) for line in out]
    said = next(line for line in lines if line["message"] == "card ***")
    assert said["fields"] == {"card": "***", "number": 7}
    assert (said["exception"]["type"], said["exception"]["message"]) == ("ValueError", "bad ***")
    assert {line["message"] for line in lines if line["logger"] == "root"} == {"card ***", "late ***", ""}


def test_redact_sees_what_records_say_before_they_are_sent(receiver):
    run(
        """
        import logging, mmtrace
        hide = lambda key, value: "***" if "4242" in str(value) else value
        mmtrace.configure(log_handlers="otlp", redact=hide)
        logging.error("card 4242", extra={"card": "4242"})
        """,
        receiver,
    )
    assert receiver.log_bodies() == ["***"]
    assert b"4242" not in receiver.bodies["/v1/logs"][0].split(b"code.file.path")[-1]
