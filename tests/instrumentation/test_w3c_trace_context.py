"""What W3C Trace Context, level 2, asks of a service between two others, which know nothing of mmtrace.

A request comes in over a raw connection with headers of all sorts; the service calls back with httpx; the headers that
arrive there are judged. The cases are those of the working group's own suite at its strictest.
"""

import http.client
import re

import httpx
import pytest
from opentelemetry import propagate
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from mmtrace.patching.engine import Engine
from mmtrace.patching.options import Options, options, put_options
from mmtrace.recording.propagation import propagator_from
from mmtrace.testing import record_spans
from mmtrace_instrumentation import httpx as of_httpx
from mmtrace_instrumentation import starlette as of_starlette

TRACE, SPAN = "12345678901234567890123456789012", "1234567890123456"
PARENT = f"00-{TRACE}-{SPAN}-01"
VALID = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")


class Service:
    """Calls back as often as it is asked to, and keeps what arrived there."""

    def __init__(self, serve):
        self.arrived = []
        self.callback = f"http://127.0.0.1:{serve(self.receive_call, lifespan='off', interface='asgi3')}/"
        self.port = serve(Starlette(routes=[Route("/{times:int}", self.handle, methods=["POST"])]))

    async def handle(self, request):
        async with httpx.AsyncClient() as client:
            for _ in range(request.path_params["times"]):
                await client.post(self.callback, content=b"[]")
        return Response()

    async def receive_call(self, scope, receive, send):
        self.arrived.append([(name.decode().lower(), value.decode("latin-1")) for name, value in scope["headers"]])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    def ask(self, *headers, times=1):
        """Send exactly these headers; return (trace id, span id, flags, tracestate) of each call back."""
        self.arrived.clear()
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.putrequest("POST", f"/{times}")
        for name, value in headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", "0")
        connection.endheaders()
        assert connection.getresponse().status == 200
        connection.close()
        assert len(self.arrived) == times
        return [self._context(arrived) for arrived in self.arrived]

    def _context(self, headers):
        (parent,) = (value for name, value in headers if name == "traceparent")
        states = [value for name, value in headers if name == "tracestate"]
        match = VALID.fullmatch(parent)
        assert match, parent
        assert len(states) <= 1
        return (*match.groups(), states[0] if states else None)


@pytest.fixture(scope="module")
def service(serve_for_module):
    textmap, before, engine = propagate.get_global_textmap(), options(), Engine()
    propagate.set_global_textmap(propagator_from(["tracecontext", "baggage"]))
    engine.instrument([of_httpx.instrumentation, of_starlette.instrumentation], Options())
    with record_spans(deterministic=False) as spans:
        yield Service(serve_for_module)
        spans.take()
    engine.undo()
    put_options(before)
    propagate.set_global_textmap(textmap)


def test_without_headers_a_trace_begins(service):
    ((trace, _, flags, state),) = service.ask()
    assert trace != TRACE and int(flags, 16) & 1 and state is None


@pytest.mark.parametrize("name", ["traceparent", "TraceParent", "TrAcEpArEnT", "TRACEPARENT"])
def test_the_trace_goes_on_under_a_new_span_however_the_header_is_written(service, name):
    ((trace, span, flags, _),) = service.ask((name, PARENT))
    assert trace == TRACE and span != SPAN and int(flags, 16) & 1


@pytest.mark.parametrize("name", ["trace-parent", "trace.parent"])
def test_a_header_of_another_name_is_none(service, name):
    assert service.ask((name, PARENT))[0][0] != TRACE


def test_more_than_one_traceparent_begins_a_new_trace(service):
    other = PARENT.replace("12-", "11-")
    ((trace, *_),) = service.ask(("traceparent", other), ("traceparent", PARENT))
    assert trace not in {TRACE, other[3:35]}
    assert service.ask(("traceparent", PARENT), ("traceparent", PARENT))[0][0] != TRACE


@pytest.mark.parametrize(
    "malformed",
    [
        PARENT + ".",
        PARENT + "-what-the-future-brings",
        f"cc-{TRACE}-{SPAN}-01.what-the-future-brings",
        f"ff-{TRACE}-{SPAN}-01",
        f".0-{TRACE}-{SPAN}-01",
        f"0.-{TRACE}-{SPAN}-01",
        f"000-{TRACE}-{SPAN}-01",
        f"0000-{TRACE}-{SPAN}-01",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-.{TRACE[1:]}-{SPAN}-01",
        f"00-{TRACE[:-1]}.-{SPAN}-01",
        f"00-{TRACE}3-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-.{SPAN[1:]}-01",
        f"00-{TRACE}-{SPAN[:-1]}.-01",
        f"00-{TRACE}-{SPAN}7-01",
        f"00-{TRACE}-{SPAN[:-1]}-01",
        f"00-{TRACE}-{SPAN}-.0",
        f"00-{TRACE}-{SPAN}-0.",
        f"00-{TRACE}-{SPAN}-001",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE.replace('1', 'A')}-{SPAN}-01",
        f"00_{TRACE}_{SPAN}_01",
        "",
    ],
)
def test_a_malformed_traceparent_begins_a_new_trace_and_drops_the_state(service, malformed):
    ((trace, _, _, state),) = service.ask(("traceparent", malformed), ("tracestate", "foo=1"))
    assert trace not in malformed and trace != TRACE
    assert state is None


@pytest.mark.parametrize("future", [f"cc-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"])
def test_a_future_version_is_read_as_far_as_it_is_known_and_sent_on_as_ours(service, future):
    assert service.ask(("traceparent", future))[0][0] == TRACE


@pytest.mark.parametrize("padded", [f" {PARENT}", f"\t{PARENT}", f"{PARENT} ", f"{PARENT}\t", f"\t {PARENT} \t"])
def test_white_space_around_the_traceparent_means_nothing(service, padded):
    assert service.ask(("traceparent", padded))[0][0] == TRACE


@pytest.mark.parametrize(("given", "sampled", "random"), [("00", 0, 0), ("01", 1, 0), ("02", 0, 2), ("03", 1, 2)])
def test_the_flags_of_sampling_and_randomness_are_kept(service, given, sampled, random):
    flags = int(service.ask(("traceparent", PARENT[:-2] + given))[0][2], 16)
    assert flags == sampled | random


def test_flags_that_nobody_knows_yet_are_not_sent_on(service):
    assert int(service.ask(("traceparent", PARENT[:-2] + "ff"))[0][2], 16) <= 3


def test_a_new_trace_says_that_its_id_is_random(service):
    assert int(service.ask()[0][2], 16) & 2


def test_a_state_without_a_parent_is_dropped(service):
    assert service.ask(("tracestate", "foo=1"))[0][3] is None
    assert service.ask(("tracestate", "foo=1,bar=2"))[0][3] is None


KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
VALUE = "".join(map(chr, (*range(0x20, 0x2C), *range(0x2D, 0x3D), *range(0x3E, 0x7F))))
MEMBERS = [f"bar{number:02}={number:02}" for number in range(1, 34)]


def in_lines(members):
    return [",".join(members[start : start + 10]) for start in range(0, len(members), 10)]


@pytest.mark.parametrize("name", ["tracestate", "TraceState", "TrAcEsTaTe", "TRACESTATE"])
def test_the_state_is_sent_on_however_the_header_is_written(service, name):
    assert service.ask(("traceparent", PARENT), (name, "foo=1,bar=2"))[0][3] == "foo=1,bar=2"


@pytest.mark.parametrize("name", ["trace-state", "trace.state"])
def test_a_state_of_another_name_is_none(service, name):
    assert service.ask(("traceparent", PARENT), (name, "foo=1"))[0][3] is None


@pytest.mark.parametrize(
    ("lines", "state"),
    [
        ([""], None),
        (["foo=1", ""], "foo=1"),
        (["", "foo=1"], "foo=1"),
        (["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
        (["foo=1,,bar=2"], "foo=1,bar=2"),
        (["foo=1,foo=1"], "foo=1"),
        (["foo=1,foo=2"], "foo=1"),
        (["foo=1", "foo=1"], "foo=1"),
        (["foo=1", "foo=2"], "foo=1"),
        ([f"{KEY}={VALUE}"], f"{KEY}={VALUE}"),
        ([f"{KEY}@a-z0-9_-*/={VALUE}"], f"{KEY}@a-z0-9_-*/={VALUE}"),
        (["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
        (["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
        ([" foo=1"], "foo=1"),
        (["\tfoo=1"], "foo=1"),
        (["foo=1 "], "foo=1"),
        (["foo=1\t"], "foo=1"),
        (["\t foo=1 \t"], "foo=1"),
        (["0foo=1"], "0foo=1"),
        (in_lines(MEMBERS[:32]), ",".join(MEMBERS[:32])),
        (["foo=1", f"{'z' * 256}=1"], f"foo=1,{'z' * 256}=1"),
        (["foo=1", f"{'t' * 241}@{'v' * 14}=1"], f"foo=1,{'t' * 241}@{'v' * 14}=1"),
        ([f"foo={'v' * 256}"], f"foo={'v' * 256}"),
    ],
)
def test_a_state_is_sent_on_in_its_order_and_in_one_line(service, lines, state):
    ((trace, _, _, sent),) = service.ask(("traceparent", PARENT), *(("tracestate", line) for line in lines))
    assert (trace, sent) == (TRACE, state)


@pytest.mark.parametrize(
    "lines",
    [
        ["foo =1"],
        ["FOO=1"],
        ["foo.bar=1"],
        ["@foo=1,bar=2"],
        ["_foo=1,bar=2"],
        ["foo=bar=baz"],
        ["foo=,bar=3"],
        ["foo"],
        ["foo=1", f"{'z' * 257}=1"],
        ["foo=1", f"bar={'v' * 257}"],
        in_lines(MEMBERS),
    ],
)
def test_a_malformed_state_is_dropped_as_a_whole_and_the_trace_goes_on(service, lines):
    ((trace, _, _, sent),) = service.ask(("traceparent", PARENT), *(("tracestate", line) for line in lines))
    assert (trace, sent) == (TRACE, None)


def test_several_calls_of_one_request_are_several_spans_of_its_trace(service):
    calls = service.ask(("traceparent", PARENT), times=3)
    assert {trace for trace, *_ in calls} == {TRACE}
    assert len({span for _, span, *_ in calls}) == 3


@pytest.mark.parametrize("headers", [[], [("traceparent", f"00-{'0' * 32}-{SPAN}-01")]])
def test_several_calls_of_a_request_that_begins_a_trace_are_spans_of_that_one(service, headers):
    calls = service.ask(*headers, times=3)
    assert len({trace for trace, *_ in calls}) == 1
    assert len({span for _, span, *_ in calls}) == 3
