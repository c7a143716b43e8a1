import pytest
from opentelemetry.trace import Link, SpanContext, StatusCode

from mmtrace.recording import guard

LINK = Link(SpanContext(1, 2, is_remote=False), {"secret": "in a link", "open": 1})


def mask(key, value):
    """Leave secrets out, mask what is said in texts."""
    if key == "secret":
        return None
    return value.replace("4711", "****") if isinstance(value, str) else value


def test_sees_attributes_events_links_exceptions_and_the_status(remembering):
    memory = remembering(redact=mask)
    with pytest.raises(ValueError), memory.tracer.start_as_current_span("work", links=[LINK]) as span:
        span.set_attribute("secret", "x")
        span.set_attribute("card", "number 4711")
        span.add_event("happened", {"secret": "x", "card": "4711"})
        raise ValueError("card 4711 refused")
    done = memory.span
    assert done.attributes == {"card": "number ****"}
    assert done.links[0].attributes == {"open": 1}
    happened, exception = done.events
    assert happened.attributes == {"card": "****"}
    assert exception.attributes["exception.message"] == "card **** refused"
    assert "4711" not in exception.attributes["exception.stacktrace"]
    assert done.status.description == "ValueError: card **** refused"
    assert LINK.attributes == {"secret": "in a link", "open": 1}


def test_sees_each_value_once_and_what_processors_added_at_the_end(remembering):
    seen = []

    def note(key, value):
        seen.append(key)
        return value

    memory = remembering(redact=note)

    class Adding:
        on_start = None
        on_end = None

        def _on_ending(self, span):
            span.set_attribute("added", 1)

    memory.provider.add_span_processor(Adding())
    with memory.tracer.start_span("work") as span:
        span.set_attribute("a", 1)
        span.set_status(StatusCode.ERROR, "why")
    span.end()
    assert seen == ["a", "added", "otel.status_description"]


def test_fails_closed(remembering):
    def fail(key, value):
        raise RuntimeError(value)

    memory = remembering(redact=fail)
    with memory.tracer.start_span("work", attributes={"secret": "x"}, links=[LINK]) as span:
        span.add_event("happened", {"secret": "x"})
        span.set_status(StatusCode.ERROR, "secret")
    done = memory.span
    assert done.attributes == done.events[0].attributes == done.links[0].attributes == {}
    assert (done.status.status_code, done.status.description) == (StatusCode.ERROR, None)
    assert guard.faults["redact"] == 5


def test_what_a_failure_says_does_not_tell_the_value(remembering, caplog):
    def fail(key, value):
        raise RuntimeError(value)

    memory = remembering(redact=fail)
    memory.tracer.start_span("work", attributes={"a": "4711"}).end()
    guard.say()
    assert "redact failed on 'a'" in caplog.text
    assert "4711" not in caplog.text


def test_what_it_returns_is_cleaned(remembering):
    memory = remembering(redact=lambda _, value: [value, {1: value}])
    memory.tracer.start_span("work", attributes={"a": "x"}).end()
    assert memory.span.attributes == {"a": ("x", {"1": "x"})}
