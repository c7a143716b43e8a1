"""Traffic written by hand: a gateway, a reader of digits, a checker that works in batches, a writer that streams."""

import json
import random
import time
import urllib.request

from opentelemetry.trace import SpanKind, StatusCode

from mmtrace import attributes as names
from mmtrace.otlp.decode import to_json
from mmtrace.spans import Event, Link, Resource, Scope, SpanData

MS = 1_000_000


class Scribe:
    """Writes spans by hand: moments in milliseconds after `start` (nanoseconds, epoch), ids from a seed."""

    def __init__(self, start, seed=1):
        self.start = start
        self.random = random.Random(seed)
        self.spans = []

    def trace(self):
        return self.random.getrandbits(128) | 1

    def span(self, trace, name, begin, end, service, parent=None, kind="internal", **more):
        events = [(word, at, more_of) for word, at, *more_of in more.pop("events", ())]
        made = SpanData(
            trace_id=trace,
            span_id=self.random.getrandbits(64) | 1,
            name=name,
            start_time=self.start + round(begin * MS),
            end_time=self.start + round(end * MS),
            parent_span_id=parent.span_id if parent else None,
            kind=SpanKind[kind.upper()],
            events=tuple(
                Event(word, self.start + round(at * MS), extra[0] if extra else {}) for word, at, extra in events
            ),
            links=tuple(Link(other.trace_id, other.span_id) for other in more.pop("links", ())),
            status=StatusCode.ERROR if "error" in more else StatusCode.UNSET,
            status_message=more.pop("error", ""),
            attributes=more.pop("attributes", {}),
            resource=Resource({names.SERVICE_NAME: service, names.PROCESS_PID: 4242, "host.name": "laptop"}),
            scope=Scope(names.SCOPE, "0.1.0"),
        )
        self.spans.append(made)
        return made

    def call(self, trace, model, task, begin, end, service, parent=None, **more):
        attributes = {names.MODEL_NAME: model, names.MODEL_TASK: task, **more.pop("attributes", {})}
        name = more.pop("name", f"{task} {model}")
        return self.span(trace, name, begin, end, service, parent, attributes=attributes, **more)


class Pipeline:
    """Requests through a gateway, a reader of digits, a checker that works in batches, and a writer that streams."""

    def __init__(self, scribe):
        self.scribe = scribe
        self.waiting = []

    def request(self, at=0.0, *, wait=6.0, write=140.0, fail=False):
        """One request that waits `wait` ms for its batch; `batch()` lets all that wait be served."""
        scribe, trace = self.scribe, self.scribe.trace()
        length = 70 + wait + write
        root = scribe.span(
            trace, "POST /read", at, at + length, "gateway", kind="server", attributes=_http("POST", "/read")
        )
        call = scribe.span(trace, "digits.Reader/Read", at + 2, at + 22, "gateway", root, "client", attributes=_RPC)
        serve = scribe.span(trace, "digits.Reader/Read", at + 4.5, at + 20, "reader", call, "server", attributes=_RPC)
        facts = {names.MODEL_FRAMEWORK: "sklearn", names.INPUT_SHAPES: ["1x64"], names.MODEL_DEVICE: "cpu"}
        scribe.call(trace, "digits", "classify", at + 6, at + 18.5, "reader", serve, attributes=facts)
        self._check(trace, root, at + 24, wait, fail=fail)
        self._write(trace, root, at + 46 + wait, write)
        return trace, root

    def _check(self, trace, root, at, wait, *, fail):
        scribe, error = self.scribe, {"error": "the picture is empty"} if fail else {}
        end = at + wait + 20
        call = scribe.span(trace, "POST", at, end, "gateway", root, "client", attributes=_http("POST", "/check"))
        serve = scribe.span(
            trace, "POST /check", at + 2, end - 2, "checker", call, "server", attributes=_http("POST", "/check")
        )
        self.waiting.append((trace, serve, at + 3, wait, error))

    def batch(self):
        scribe = self.scribe
        begin = max(at + wait for _, _, at, wait, _ in self.waiting)
        end, trace = begin + 12, scribe.trace()
        served = [serve for _, serve, *_ in self.waiting]
        size = {names.BATCH_SIZE: len(served)}
        batch = scribe.call(
            trace, "checker", "check", begin, end, "checker", name="batch checker", links=served, attributes=size
        )
        onnx = {names.MODEL_FRAMEWORK: "onnxruntime", names.INPUT_SHAPES: [f"{len(served)}x1x8x8"]}
        scribe.call(trace, "checker.onnx", "infer", begin + 1, end - 1, "checker", batch, attributes=onnx)
        for of, serve, at, _, error in self.waiting:
            events = [(names.COMPUTE_START, begin)]
            if error:
                events.append(
                    (
                        "exception",
                        end - 1,
                        {names.EXCEPTION_TYPE: "ValueError", names.EXCEPTION_MESSAGE: error["error"]},
                    )
                )
            facts = {names.QUEUE_DURATION: (begin - at) / 1e3, names.OUTCOME: "error" if error else "ok", **size}
            scribe.call(
                of,
                "checker",
                "check",
                at,
                end,
                "checker",
                serve,
                links=[batch],
                events=events,
                attributes=facts,
                **error,
            )
        self.waiting = []
        return trace, batch

    def _write(self, trace, root, at, length):
        scribe = self.scribe
        send = scribe.span(trace, "send answers", at, at + 1, "gateway", root, "producer", attributes=_QUEUE)
        take = scribe.span(
            trace, "process answers", at + 5, at + 8 + length, "writer", send, "consumer", attributes=_QUEUE
        )
        facts = {
            names.MODEL_FRAMEWORK: "transformers", names.MODEL_DEVICE: "cuda:0", names.MODEL_DTYPE: "bfloat16",
            names.INPUT_TOKENS: 214, names.OUTPUT_TOKENS: 96, names.OUTPUT_COUNT: 96, names.OUTPUT_STALLS: 1,
            names.TIME_TO_FIRST_OUTPUT: 0.3 * length / 1e3, names.CONSUMER_DURATION: 0.12 * length / 1e3,
            names.STREAM_END: "exhausted", names.OUTCOME: "ok",
        }  # fmt: skip
        moments = [(names.FIRST_OUTPUT, at + 7 + 0.3 * length), (names.OUTPUT_STALL, at + 7 + 0.7 * length)]
        scribe.call(
            trace, "writer-lm", "generate", at + 7, at + 7 + length, "writer", take, events=moments, attributes=facts
        )


_RPC = {names.RPC_SYSTEM_NAME: "grpc", names.RPC_METHOD: "digits.Reader/Read", names.SERVER_ADDRESS: "127.0.0.1"}
_QUEUE = {names.MESSAGING_SYSTEM: "redis", names.MESSAGING_DESTINATION_NAME: "answers"}


def _http(method, route):
    return {names.HTTP_REQUEST_METHOD: method, names.HTTP_ROUTE: route, names.HTTP_RESPONSE_STATUS_CODE: 200}


def send(url, spans):
    """Send spans to a server as OTLP/JSON, a thousand at a time."""
    for first in range(0, len(spans), 1000):
        body = json.dumps(to_json(spans[first : first + 1000])).encode()
        asked = urllib.request.Request(f"{url}/v1/traces", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=30) as answer:
            assert answer.status == 200


def story(minutes=10, seed=7):
    """Write minutes of traffic up to now; returns all spans and the trace id of a slow request."""
    rng = random.Random(seed)
    start = time.time_ns() - minutes * 60 * 10**9
    pipeline = Pipeline(Scribe(start, seed))
    slow = 0
    for number in range(minutes * 12):
        at = number * 5000 + rng.uniform(0, 500)
        late = number % 20 == 13
        for member in range(rng.choice([2, 3, 4])):
            wait = (rng.uniform(380, 420) if late and not member else rng.uniform(3, 9)) + 6
            trace, _ = pipeline.request(
                at + member * 2, wait=wait, write=rng.lognormvariate(4.9, 0.3), fail=number == 30 and not member
            )
            slow = trace if late and not member else slow
            if late and not member:
                pipeline.batch()
        pipeline.batch()
    return pipeline.scribe.spans, slow
