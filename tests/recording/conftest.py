"""A provider of our own with the stock in-memory exporter behind it."""

from dataclasses import dataclass

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from mmtrace.recording import TracerProvider


@dataclass
class Memory:
    """A provider, its tracer, and the spans that ended."""

    provider: TracerProvider
    tracer: Tracer
    exporter: InMemorySpanExporter

    @property
    def spans(self):
        return self.exporter.get_finished_spans()

    @property
    def span(self):
        (only,) = self.spans
        return only

    def named(self, name):
        (only,) = (span for span in self.spans if span.name == name)
        return only


@pytest.fixture
def resource():
    return Resource({"service.name": "test"})


@pytest.fixture
def remembering(resource):
    """Make a provider with the stock in-memory exporter: `remembering(sampler=..., span_limits=...)`."""

    def make(**arguments) -> Memory:
        provider = TracerProvider(resource, **arguments)
        exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        return Memory(provider, provider.get_tracer("test", "1.0"), exporter)

    return make


@pytest.fixture
def memory(remembering):
    return remembering()
