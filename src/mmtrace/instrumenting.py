"""The one door for instrumentations, ours and anybody's: everything that a library file or a shape needs.

A library file says where to hook (`Patch`) and how to read the library's requests and results; the rest is here.
"""

from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind, Status, StatusCode, get_current_span

from mmtrace._children import Inheriting
from mmtrace._ending import ending, serving
from mmtrace.calls import (
    Batch,
    Call,
    Model,
    ModelCall,
    Ticket,
    attached,
    current_context,
    error_type_of,
    outcome_of,
    suppress,
    suppressed,
)
from mmtrace.calls.context import OpenCall, open_call
from mmtrace.calls.iterators import traced_async_iterator, traced_iterator
from mmtrace.calls.pulled import enter_pulled, leave_pulled
from mmtrace.patching import Instrumentation, Options, Patch, options
from mmtrace.recording.carriers import Envelope, arrival_of, extract, inject
from mmtrace.recording.guard import never_raises, report
from mmtrace.runtime_metrics.loops import loops

__all__ = [
    "Batch",
    "Call",
    "Context",
    "Envelope",
    "Inheriting",
    "Instrumentation",
    "Link",
    "Model",
    "ModelCall",
    "OpenCall",
    "Options",
    "Patch",
    "Span",
    "SpanContext",
    "SpanKind",
    "Status",
    "StatusCode",
    "Ticket",
    "arrival_of",
    "attached",
    "current_context",
    "ending",
    "enter_pulled",
    "error_type_of",
    "extract",
    "get_current_span",
    "inject",
    "leave_pulled",
    "loops",
    "never_raises",
    "open_call",
    "options",
    "outcome_of",
    "report",
    "serving",
    "suppress",
    "suppressed",
    "traced_async_iterator",
    "traced_iterator",
]
