"""The ways of a context from one process to another: each side's own operations, by the same names.

The context is a sampled span and three entries of baggage; the carrier is a dict of headers as a web server gives it.
"""

import pickle
import queue
from functools import cache, partial

BAGGAGE = {"tenant": "acme", "pipeline": "invoice", "experiment": "b"}
HEADERS = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "tracestate": "vendor=abc",
    "baggage": ",".join(f"{key}={value}" for key, value in BAGGAGE.items()),
    "content-type": "application/json",
}
PAYLOAD = bytes(1024)


def untraced():
    """Return what the queue costs by itself."""
    pending = queue.SimpleQueue()
    return {
        "queue of threads": lambda: (pending.put(PAYLOAD), pending.get()),
        "queue of bytes": lambda: pickle.loads(pickle.dumps(PAYLOAD)),
    }


def hops(current, inject, extract, enter):
    """Return a side's operations: `enter(context)` makes a context current and returns what undoes that."""
    pending = queue.SimpleQueue()

    def injected():
        headers = {}
        inject(headers)
        return headers

    def attached():
        leave = enter(current)
        leave()

    def through_queue():
        pending.put((injected(), PAYLOAD))
        headers, _ = pending.get()
        enter(extract(headers))()

    def through_bytes():
        headers, _ = pickle.loads(pickle.dumps((injected(), PAYLOAD)))
        extract(headers)

    return {
        "inject": injected,
        "extract": lambda: extract(HEADERS),
        "attach, detach": attached,
        "queue of threads": through_queue,
        "queue of bytes": through_bytes,
    }


def opentelemetry():
    """Return the API's operations with whatever propagators are configured; for a queue, as it is done by hand."""
    from opentelemetry import baggage, context, propagate, trace

    current = trace.set_span_in_context(trace.get_tracer("benchmark").start_span("sender"))
    for key, value in BAGGAGE.items():
        current = baggage.set_baggage(key, value, current)
    context.attach(current)

    def enter(entered):
        return partial(context.detach, context.attach(entered))

    return hops(current, propagate.inject, propagate.extract, enter)


def mmtrace():
    """Return the API's operations with mmtrace behind them, and for a queue mmtrace's own."""
    import mmtrace
    from mmtrace.instrumenting import Envelope

    pending = mmtrace.carry(queue.SimpleQueue())
    return opentelemetry() | {
        "queue of threads": lambda: (pending.put(PAYLOAD), pending.get()),
        "queue of bytes": lambda: Envelope.unwrap(mmtrace.inject(PAYLOAD)),
    }


def ddtrace():
    """Return ddtrace's operations, with the same W3C headers; for a queue, as it is done by hand."""
    from ddtrace.propagation.http import HTTPPropagator
    from ddtrace.trace import tracer

    span = tracer.trace("sender")
    for key, value in BAGGAGE.items():
        span.context.set_baggage_item(key, value)
    activate = tracer.context_provider.activate

    def enter(entered):
        activate(entered)
        return partial(activate, span)

    return hops(span.context, partial(HTTPPropagator.inject, span), HTTPPropagator.extract, enter)


HOPS = {"untraced": untraced, "stock": opentelemetry, "mmtrace": mmtrace, "ddtrace": ddtrace}


@cache
def operations(side):
    """Return the operations of a side by name; fastotel leaves contexts to the stock SDK."""
    return HOPS[side]()
