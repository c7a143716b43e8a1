"""What spans tell: pure functions from traces to frozen results, without any input or output of their own."""

from mmtrace.analysis.graph import CallGraph, EdgeFigures, Node, NodeFigures, call_graph
from mmtrace.analysis.measured import with_metrics
from mmtrace.analysis.models import ModelFigures, model_figures
from mmtrace.analysis.phases import Phase, Phases, phases
from mmtrace.analysis.self_time import SelfTime, self_time
from mmtrace.analysis.series import Point
from mmtrace.analysis.summary import Summary, summarize
from mmtrace.analysis.where import Share, TimeSpent, time_spent

__all__ = [
    "CallGraph",
    "EdgeFigures",
    "ModelFigures",
    "Node",
    "NodeFigures",
    "Phase",
    "Phases",
    "Point",
    "SelfTime",
    "Share",
    "Summary",
    "TimeSpent",
    "call_graph",
    "model_figures",
    "phases",
    "self_time",
    "summarize",
    "time_spent",
    "with_metrics",
]
