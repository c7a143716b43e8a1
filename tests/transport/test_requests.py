"""A request is what the stock encoder would have made of its spans, however they were batched, split and sent again."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from mmtrace.transport import ACCEPTED, Outcome, Pipeline, SpanSink
from recorded import PATIENT, RECORDED, stock_and_what_it_leaves_out


class Narrow:
    """A destination that takes few spans at once, and wants the first request again."""

    where = "a narrow place"
    quiet_before_fork = False

    def __init__(self, most):
        self.most = most
        self.requests = []
        self.asked = 0

    def export(self, signal, body, count, timeout):
        self.asked += 1
        if self.asked == 1:
            return Outcome("retry", retry_after=0.0, message="once more")
        if count > self.most:
            return Outcome("too_large", message="fewer")
        self.requests.append(ExportTraceServiceRequest.FromString(body))
        return ACCEPTED

    def close(self):
        pass


def told(request):
    """Yield each span of a request with all that is said about it: resource, scope and both schemas."""
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                parts = resource.resource, scope.scope, span
                yield (
                    *(part.SerializeToString(deterministic=True) for part in parts),
                    resource.schema_url,
                    scope.schema_url,
                )


@settings(PATIENT, max_examples=25)
@given(
    recorded=st.lists(RECORDED, min_size=1, max_size=3),
    most=st.integers(1, 9),
    max_items=st.integers(1, 9),
    max_bytes=st.integers(1, 3_000),
)
def test_every_span_arrives_once_as_the_stock_encoder_writes_it(recorded, most, max_items, max_bytes):
    spans = [span for one in recorded for span in one.spans()]
    narrow = Narrow(most)
    made = Pipeline(narrow, max_batch_items=max_items, max_batch_bytes=max_bytes)
    sink = SpanSink([made])
    for span in spans:
        sink.on_end(span)
    made.shutdown(20)

    arrived = Counter(one for request in narrow.requests for one in told(request))
    assert arrived == Counter(one for span in spans for one in told(stock_and_what_it_leaves_out(span)))
    assert (made.health.exported, made.health.dropped) == (len(spans), {})
    for request in narrow.requests:
        framed = {(resource, scope, *schemas) for resource, scope, _, *schemas in told(request)}
        assert len(request.resource_spans) == len(framed), "what spans share is said once"
