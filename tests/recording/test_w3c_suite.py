"""The cases of the public W3C trace-context suite, level 2 and strict, on the propagator.

A case is the headers of a request and what the service must send on: the same trace or a new one, and which members of
the tracestate. Source: https://github.com/w3c/trace-context/tree/main/test.
"""

import pytest
from opentelemetry import trace
from opentelemetry.propagators.textmap import Getter

from mmtrace.recording.propagation import W3CTraceContextPropagator

TRACE, PARENT = "12345678901234567890123456789012", "1234567890123456"
VALID = f"00-{TRACE}-{PARENT}-01"
FUTURE = f"cc-{TRACE}-{PARENT}-01"
KEY_256, TENANT_KEY = "z" * 256, "t" * 241 + "@" + "v" * 14
ALLOWED_KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
ALLOWED_VALUE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in ",=")


class Headers(Getter):
    """Reads a list of pairs as an HTTP server does: names in any case, several values of one name."""

    def get(self, carrier, key):
        return [value for name, value in carrier if name.lower() == key] or None

    def keys(self, carrier):
        return [name for name, _ in carrier]


def sent_on(tracer, headers):
    """What a service whose incoming request has `headers` sends with its own request."""
    propagator, sent = W3CTraceContextPropagator(), {}
    context = propagator.extract(headers, getter=Headers())
    span = tracer.start_span("request", context)
    propagator.inject(sent, trace.set_span_in_context(span, context))
    span.end()
    return sent


def members(sent):
    return dict(member.split("=", 1) for member in sent.get("tracestate", "").split(",") if member)


CONTINUED = [
    ("included alone", [("traceparent", VALID)]),
    ("name in camel case", [("TraceParent", VALID)]),
    ("name in mixed case", [("TrAcEpArEnT", VALID)]),
    ("name in upper case", [("TRACEPARENT", VALID)]),
    ("future version", [("traceparent", FUTURE)]),
    ("future version with more", [("traceparent", f"{FUTURE}-what-the-future-will-be-like")]),
    ("space in front", [("traceparent", f" {VALID}")]),
    ("tab in front", [("traceparent", f"\t{VALID}")]),
    ("space behind", [("traceparent", f"{VALID} ")]),
    ("tab behind", [("traceparent", f"{VALID}\t")]),
    ("spaces and tabs around", [("traceparent", f"\t {VALID} \t")]),
    ("not sampled", [("traceparent", f"00-{TRACE}-{PARENT}-00")]),
    ("flags of a later level", [("traceparent", f"00-{TRACE}-{PARENT}-ff")]),
]
BEGUN = [
    ("missing", []),
    ("twice, different", [("traceparent", f"00-{TRACE[::-1]}-{PARENT}-01"), ("traceparent", VALID)]),
    ("twice, the same", [("traceparent", VALID), ("TraceParent", VALID)]),
    ("twice in one value", [("traceparent", f"{VALID},{VALID}")]),
    ("name with a dash", [("trace-parent", VALID)]),
    ("name with a dot", [("trace.parent", VALID)]),
    ("empty", [("traceparent", "")]),
    ("version 0 with a dot behind", [("traceparent", f"{VALID}.")]),
    ("version 0 with a dash behind", [("traceparent", f"{VALID}-")]),
    ("version 0 with more", [("traceparent", f"{VALID}-what-the-future-will-be-like")]),
    ("future version with more behind a dot", [("traceparent", f"{FUTURE}.what-the-future-will-be-like")]),
    ("version ff", [("traceparent", f"ff-{TRACE}-{PARENT}-01")]),
    ("version with a dot in front", [("traceparent", f".0-{TRACE}-{PARENT}-01")]),
    ("version with a dot behind", [("traceparent", f"0.-{TRACE}-{PARENT}-01")]),
    ("version of three digits", [("traceparent", f"000-{TRACE}-{PARENT}-01")]),
    ("version of four digits", [("traceparent", f"0000-{TRACE}-{PARENT}-01")]),
    ("version of one digit", [("traceparent", f"0-{TRACE}-{PARENT}-01")]),
    ("trace id of zeros", [("traceparent", f"00-{'0' * 32}-{PARENT}-01")]),
    ("trace id with a dot in front", [("traceparent", f"00-.{TRACE[1:]}-{PARENT}-01")]),
    ("trace id with a dot behind", [("traceparent", f"00-{TRACE[:-1]}.-{PARENT}-01")]),
    ("trace id in upper case", [("traceparent", f"00-{'ABCDEF' + TRACE[6:]}-{PARENT}-01")]),
    ("trace id too long", [("traceparent", f"00-{TRACE}3-{PARENT}-01")]),
    ("trace id too short", [("traceparent", f"00-{TRACE[:-1]}-{PARENT}-01")]),
    ("parent id of zeros", [("traceparent", f"00-{TRACE}-{'0' * 16}-01")]),
    ("parent id with a dot in front", [("traceparent", f"00-{TRACE}-.{PARENT[1:]}-01")]),
    ("parent id with a dot behind", [("traceparent", f"00-{TRACE}-{PARENT[:-1]}.-01")]),
    ("parent id too long", [("traceparent", f"00-{TRACE}-{PARENT}7-01")]),
    ("parent id too short", [("traceparent", f"00-{TRACE}-{PARENT[:-1]}-01")]),
    ("flags with a dot in front", [("traceparent", f"00-{TRACE}-{PARENT}-.0")]),
    ("flags with a dot behind", [("traceparent", f"00-{TRACE}-{PARENT}-0.")]),
    ("flags of three digits", [("traceparent", f"00-{TRACE}-{PARENT}-001")]),
    ("flags of one digit", [("traceparent", f"00-{TRACE}-{PARENT}-1")]),
    ("a line break behind", [("traceparent", f"{VALID}\n")]),
    ("digits of another script", [("traceparent", f"00-{TRACE}-{PARENT}-0\u0661")]),
    ("much too long", [("traceparent", f"{FUTURE}-{'x' * 1000}")]),
    ("tracestate alone", [("tracestate", "foo=1")]),
]
STATES = [
    ("one member", ["foo=1"], {"foo": "1"}),
    ("two members", ["foo=1,bar=2"], {"foo": "1", "bar": "2"}),
    ("empty", [""], {}),
    ("empty beside another", ["foo=1", ""], {"foo": "1"}),
    ("empty before another", ["", "foo=1"], {"foo": "1"}),
    (
        "several headers",
        ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"],
        {"foo": "1", "bar": "2", "rojo": "1", "congo": "2", "baz": "3"},
    ),
    ("the same key twice", ["foo=1,foo=1"], {"foo": "1"}),
    ("the same key with two values", ["foo=1,foo=2"], {"foo": "1"}),
    ("the same key in two headers", ["foo=1", "foo=2"], {"foo": "1"}),
    ("every character of a key", [f"{ALLOWED_KEY}=1"], {ALLOWED_KEY: "1"}),
    ("every character of a tenant's key", [f"{ALLOWED_KEY}@a-z0-9_-*/=1"], {f"{ALLOWED_KEY}@a-z0-9_-*/": "1"}),
    ("a key that begins with a digit", ["0foo=1"], {"0foo": "1"}),
    ("every character of a value", [f"foo={ALLOWED_VALUE}"], {"foo": ALLOWED_VALUE}),
    ("space between members", ["foo=1 , bar=2"], {"foo": "1", "bar": "2"}),
    ("tabs between members", ["foo=1\t \t,\t \tbar=2"], {"foo": "1", "bar": "2"}),
    ("space around", [" foo=1 "], {"foo": "1"}),
    ("tab around", ["\tfoo=1\t"], {"foo": "1"}),
    ("an empty member between", ["foo=1,,bar=2"], {"foo": "1", "bar": "2"}),
    ("a space in the key", ["foo =1"], {}),
    ("capitals in the key", ["FOO=1"], {}),
    ("a dot in the key", ["foo.bar=1"], {}),
    ("a key that begins with an at sign", ["@foo=1,bar=2"], {}),
    ("no key", ["=1,bar=2"], {}),
    ("a key of 256 characters", [f"foo=1,{KEY_256}=1"], {"foo": "1", KEY_256: "1"}),
    ("a key of 257 characters", [f"foo=1,{KEY_256}z=1"], {}),
    ("a tenant's key of 256 characters", [f"foo=1,{TENANT_KEY}=1"], {"foo": "1", TENANT_KEY: "1"}),
    ("32 members", [",".join(f"bar{n:02}={n}" for n in range(32))], {f"bar{n:02}": str(n) for n in range(32)}),
    ("33 members", [",".join(f"bar{n:02}={n}" for n in range(33))], {}),
    ("32 members in two headers and one more", ["foo=1", ",".join(f"bar{n:02}={n}" for n in range(32))], {}),
    ("an equals sign in the value", ["foo=bar=baz"], {}),
    ("no value", ["foo=,bar=3"], {}),
    ("no equals sign", ["foo,bar=3"], {}),
    ("a value of 256 characters", [f"foo={'v' * 256}"], {"foo": "v" * 256}),
    ("a value of 257 characters", [f"foo={'v' * 257}"], {}),
    ("more than 8,192 characters", [f"{n:02}={'v' * 256}" for n in range(32)], {}),
]


@pytest.mark.parametrize(("why", "headers"), CONTINUED, ids=[case[0] for case in CONTINUED])
def test_a_valid_traceparent_is_continued(memory, why, headers):
    version, trace_id, span_id, flags = sent_on(memory.tracer, headers)["traceparent"].split("-")
    assert (version, trace_id) == ("00", TRACE)
    assert span_id != PARENT
    assert int(flags, 16) <= 3


@pytest.mark.parametrize(("why", "headers"), BEGUN, ids=[case[0] for case in BEGUN])
def test_any_other_begins_a_new_trace_without_tracestate(memory, why, headers):
    sent = sent_on(memory.tracer, [*headers, ("tracestate", "foo=1,bar=2")])
    _, trace_id, _, flags = sent["traceparent"].split("-")
    assert TRACE not in trace_id
    assert trace_id != TRACE[::-1]
    assert flags == "03"
    assert "tracestate" not in sent


@pytest.mark.parametrize(("why", "headers"), BEGUN, ids=[case[0] for case in BEGUN])
def test_after_a_failed_extract_there_is_no_span(why, headers):
    context = W3CTraceContextPropagator().extract(headers, getter=Headers())
    assert trace.get_current_span(context) is trace.INVALID_SPAN


@pytest.mark.parametrize(("why", "values", "expected"), STATES, ids=[case[0] for case in STATES])
def test_a_tracestate_is_sent_on_where_it_is_well_formed(memory, why, values, expected):
    sent = sent_on(memory.tracer, [("traceparent", VALID), *(("tracestate", value) for value in values)])
    assert sent["traceparent"].split("-")[1] == TRACE
    assert members(sent) == expected


@pytest.mark.parametrize("name", ["trace-state", "trace.state"])
def test_other_names_are_no_tracestate(memory, name):
    assert "tracestate" not in sent_on(memory.tracer, [("traceparent", VALID), (name, "foo=1")])


@pytest.mark.parametrize("name", ["TraceState", "TrAcEsTaTe", "TRACESTATE"])
def test_the_name_of_the_tracestate_has_any_case(memory, name):
    assert members(sent_on(memory.tracer, [("traceparent", VALID), (name, "foo=1")])) == {"foo": "1"}


@pytest.mark.parametrize("headers", [[("traceparent", VALID)], [], [("traceparent", VALID[:-1])]])
def test_several_requests_of_one_service_stay_apart(memory, headers):
    sent = [sent_on(memory.tracer, headers)["traceparent"].split("-") for _ in range(3)]
    assert len({parts[2] for parts in sent}) == 3
    continued = headers == [("traceparent", VALID)]
    assert len({parts[1] for parts in sent}) == (1 if continued else 3)
    assert ({parts[1] for parts in sent} == {TRACE}) is continued
