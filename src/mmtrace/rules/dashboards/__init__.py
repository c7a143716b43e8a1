"""The dashboards, as files that Grafana provisions."""

import json

from mmtrace.rules.dashboards.grafana import Json
from mmtrace.rules.dashboards.models import models
from mmtrace.rules.dashboards.processes import processes
from mmtrace.rules.dashboards.telemetry import telemetry
from mmtrace.rules.objectives import Objectives


def dashboards(objectives: Objectives) -> dict[str, str]:
    """Return the text of each dashboard by the name of its file."""
    made: list[Json] = [models(objectives), processes(objectives), telemetry()]
    return {f"{each['uid']}.json": json.dumps(each, indent=2, ensure_ascii=False) + "\n" for each in made}
