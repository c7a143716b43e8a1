import pytest

from mmtrace.errors import ConfigurationError


class Outer:
    class NestedError(Exception):
        pass


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("x"), "ValueError"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (ConfigurationError("x"), "mmtrace.errors.ConfigurationError"),
        (Outer.NestedError("x"), f"{__name__}.Outer.NestedError"),
    ],
)
def test_the_type_is_qualified_and_bare_for_builtins(memory, error, name):
    with memory.tracer.start_span("work") as span:
        span.record_exception(error)
    assert memory.span.events[0].attributes["exception.type"] == name


def test_an_exception_is_an_event_with_message_and_traceback(memory):
    with memory.tracer.start_span("work") as span:
        try:
            raise LookupError("nothing there") from ValueError("the cause")
        except LookupError as error:
            span.record_exception(error, {"extra": 1, "exception.message": "mine"}, timestamp=5)
    (event,) = memory.span.events
    assert (event.name, event.timestamp) == ("exception", 5)
    assert event.attributes["exception.message"] == "mine"
    assert event.attributes["extra"] == 1
    assert event.attributes["exception.escaped"] == "False"
    assert "LookupError: nothing there" in event.attributes["exception.stacktrace"]
    assert "ValueError: the cause" in event.attributes["exception.stacktrace"]


def test_the_exception_itself_is_not_kept(memory):
    import gc
    import weakref

    def fail():
        error = Outer.NestedError("x")
        span.record_exception(error)
        return weakref.ref(error)

    span = memory.tracer.start_span("work")
    kept = fail()
    gc.collect()
    assert kept() is None
    span.end()
