"""What a model call is: its span, its steps, its streams and batches, its outcome, and its feed into the metrics."""

from mmtrace.calls.batch import Batch, Ticket
from mmtrace.calls.call import Call, ModelCall
from mmtrace.calls.context import attached, current_context, suppress, suppressed
from mmtrace.calls.model import Model
from mmtrace.calls.outcome import Outcome, error_type_of, outcome_of

__all__ = [
    "Batch",
    "Call",
    "Model",
    "ModelCall",
    "Outcome",
    "Ticket",
    "attached",
    "current_context",
    "error_type_of",
    "outcome_of",
    "suppress",
    "suppressed",
]
