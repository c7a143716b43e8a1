"""Finished spans as plain values, and the tree that the spans of one trace make."""

from mmtrace.spans.data import AttributeValue, Event, Link, Resource, Scope, SpanData
from mmtrace.spans.trace import Trace

__all__ = ["AttributeValue", "Event", "Link", "Resource", "Scope", "SpanData", "Trace"]
