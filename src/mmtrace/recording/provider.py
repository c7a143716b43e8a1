"""The tracer provider: what is recorded, by which rules, and who gets the finished spans."""

import os
import time
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry import trace

from mmtrace.recording.guard import report
from mmtrace.recording.limits import SpanLimits
from mmtrace.recording.parts import InstrumentationScope, scope_of
from mmtrace.recording.recorder import Clock, Ids, Recorder, Redact, blame
from mmtrace.recording.sampling import DEFAULT, sampler_from
from mmtrace.recording.tracer import Tracer
from mmtrace.spans import AttributeValue
from mmtrace.spans import clock as spans_clock
from mmtrace.spans import ids as spans_ids


class TracerProvider(trace.TracerProvider):
    """Makes tracers whose spans go to the span processors that are added, in their order.

    Args:
        resource: what records, an OpenTelemetry `Resource` (anything with `attributes` and `schema_url`); without one,
            the SDK's default resource, which the OTEL_* variables describe.
        sampler: an OpenTelemetry `Sampler`; without one, `OTEL_TRACES_SAMPLER`, else as the parent was, and every root.
        span_limits: how much a span may hold; without it, the OTEL_* variables.
        redact: gets key and value of every attribute (of the span, its events and links), of exception messages and of
            the status's description when a span ends; returns what to keep, or None. A failure drops the value.
        clock: the clock, for tests.
        ids: where ids come from, for tests.

    A provider has no thread, no file and no hook. Raises ConfigurationError for a wrong variable.
    """

    def __init__(
        self,
        resource: Any = None,
        sampler: Any = None,
        span_limits: SpanLimits | None = None,
        *,
        redact: Redact | None = None,
        clock: Clock = spans_clock,
        ids: Ids = spans_ids,
    ) -> None:
        resource = _default_resource() if resource is None else resource
        self.sampler: Final = _default_sampler() if sampler is None else sampler
        self._recorder: Final = Recorder(resource, span_limits or SpanLimits(), redact, clock, ids)
        self._tracers: Final[dict[InstrumentationScope, Tracer]] = {}
        self._disabled: Final = os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"

    @property
    def resource(self) -> Any:
        """What records."""
        return self._recorder.resource

    @property
    def sampled_out(self) -> int:
        """How many spans sampling has left out."""
        return self._recorder.sampled_out

    def replace_resource(self, resource: Any) -> None:
        """Let every span say `resource` from now on, as in a new process after a fork."""
        self._recorder.resource = resource

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> trace.Tracer:
        """Return the tracer of a scope, always the same for the same scope."""
        if self._disabled:
            return trace.NoOpTracer()
        if not instrumenting_module_name:
            report("scope name", "mmtrace: get_tracer was called without the name of a library")
        scope = scope_of(instrumenting_module_name, instrumenting_library_version, schema_url, attributes)
        known = self._tracers.get(scope)
        return known or self._tracers.setdefault(scope, Tracer(self._recorder, scope, self.sampler))

    def add_span_processor(self, span_processor: Any) -> None:
        """Call `span_processor` for every span that starts or ends from now on."""
        self._recorder.add(span_processor)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Ask each processor to hand on what it has; whether all did within `timeout_millis`."""
        deadline = time.monotonic() + timeout_millis / 1000
        done = True
        for processor in self._recorder.processors:
            left = int((deadline - time.monotonic()) * 1000)
            if left <= 0:
                return False
            done = _flushed(processor, left) and done
        return done

    def shutdown(self) -> None:
        """Shut the processors down, once."""
        for processor in self._recorder.close():
            try:
                processor.shutdown()
            except Exception as error:  # noqa: PERF203
                blame(processor, "shutdown", error)


def _flushed(processor: Any, timeout_millis: int) -> bool:
    try:
        return processor.force_flush(timeout_millis) is not False
    except Exception as error:
        blame(processor, "force_flush", error)
        return False


def _default_sampler() -> Any:
    name = os.environ.get("OTEL_TRACES_SAMPLER", "").strip()
    return sampler_from(name, os.environ.get("OTEL_TRACES_SAMPLER_ARG")) if name else DEFAULT


def _default_resource() -> Any:
    from opentelemetry.sdk.resources import Resource

    return Resource.create()
