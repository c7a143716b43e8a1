"""Rules of Prometheus and dashboards of Grafana, made from objectives.

`Objectives` says what is wanted; `rule_file` and `dashboards` return what Prometheus and Grafana read, as text. The
same objectives give the same text.
"""

from mmtrace.rules.dashboards import dashboards
from mmtrace.rules.objectives import ApiLimits, Limits, Model, Objectives, ProcessLimits
from mmtrace.rules.reading import read
from mmtrace.rules.rule_file import rule_file
from mmtrace.rules.seen import Seen, ask, proposed
from mmtrace.rules.writing import objectives_file

__all__ = [
    "ApiLimits",
    "Limits",
    "Model",
    "Objectives",
    "ProcessLimits",
    "Seen",
    "ask",
    "dashboards",
    "objectives_file",
    "proposed",
    "read",
    "rule_file",
]
