"""Model calls that another instrumentation recorded, by the GenAI conventions, counted in the model metrics."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import StatusCode

from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.calls.context import current_context, open_call
from mmtrace.calls.outcome import Outcome


class ForeignCalls:
    """A span processor that counts each finished GenAI span of another make, unless it lies inside an open call."""

    on_start = None
    _on_ending = None

    def takes(self, scope: str) -> bool:
        """Leave out the spans of our own calls."""
        return scope != names.SCOPE

    def on_end(self, span: Any) -> None:
        """Count `span` if it is a model call that nobody has counted."""
        attributes = span.attributes
        if not attributes or names.GEN_AI_OPERATION_NAME not in attributes:
            return
        model = attributes.get(names.GEN_AI_REQUEST_MODEL)
        if model and open_call(current_context()) is None:
            _count(span, str(model), attributes)

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Do nothing."""
        return True


def _count(span: Any, model: str, attributes: Mapping[str, Any]) -> None:
    task = str(attributes[names.GEN_AI_OPERATION_NAME])
    series = telemetry.metrics.series(model, "", task, str(attributes.get(names.GEN_AI_PROVIDER_NAME) or ""))
    outcome: Outcome = "error" if span.status.status_code is StatusCode.ERROR else "ok"
    series.begin()
    series.end(
        outcome,
        str(attributes.get(names.ERROR_TYPE) or "_OTHER") if outcome == "error" else "",
        max(0, span.end_time - span.start_time) / 1e9,
        input_tokens=attributes.get(names.GEN_AI_USAGE_INPUT_TOKENS) or 0,
        output_tokens=attributes.get(names.GEN_AI_USAGE_OUTPUT_TOKENS) or 0,
        first_output=attributes.get(names.GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK),
    )
