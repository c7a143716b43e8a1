"""One span that is sent to see whether it arrives."""

from dataclasses import dataclass

from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import format_span_id, format_trace_id

from mmtrace import attributes as names
from mmtrace._version import __version__
from mmtrace.errors import ConfigurationError
from mmtrace.otlp.encode import encode_span
from mmtrace.otlp.frames import frame_of
from mmtrace.recording import TracerProvider
from mmtrace.recording.sampling import sampler_from
from mmtrace.settings import Settings

NAME = "mmtrace doctor"
"""How the span is called."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The probe as the body of an OTLP request, and its ids in hexadecimal."""

    body: bytes
    trace_id: str
    span_id: str
    service: str


def make_probe(settings: Settings) -> Probe:
    """Return a probe of the service; it asks tail sampling to keep it. Raises ConfigurationError where none is made."""
    sdk = {names.TELEMETRY_SDK_NAME: names.SCOPE, names.TELEMETRY_SDK_VERSION: __version__}
    provider = TracerProvider(Resource({**settings.resource_attributes, **sdk}), sampler_from("always_on", None))
    tracer = provider.get_tracer(names.SCOPE, __version__, schema_url=names.SCHEMA_URL)
    span = tracer.start_span(NAME, attributes={names.KEEP: True})
    if not span.is_recording():
        raise ConfigurationError("OTEL_SDK_DISABLED=true lets nothing be recorded, whatever MMTRACE_DISABLED says")
    span.end()
    context = span.get_span_context()
    body = frame_of(span).wrap([encode_span(span)])
    return Probe(body, format_trace_id(context.trace_id), format_span_id(context.span_id), settings.service_name)
