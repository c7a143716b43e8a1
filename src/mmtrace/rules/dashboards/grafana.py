"""The parts of a dashboard, in Grafana's classic JSON model, and their places on its grid.

Source: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from mmtrace.rules.promql import selector

Json: TypeAlias = dict[str, Any]

_SCHEMA: Final = 42
_COLUMNS: Final = 24
_HEIGHT: Final = 8
_SOURCE: Final[Json] = {"type": "prometheus", "uid": "${ds}"}
_TAG: Final = "mmtrace"

RATE: Final = "$__rate_interval"
"""The window of a rate, which Grafana makes from the range and the interval of scrapes."""


@dataclass(frozen=True, slots=True)
class Query:
    """One query of a panel; `name` is its legend. With `exemplars`, their points lead to traces."""

    expr: str
    name: str = ""
    exemplars: bool = False
    instant: bool = False

    def as_data(self, number: int, form: str) -> Json:
        """Return the query as a panel has it."""
        return {
            "refId": chr(ord("A") + number),
            "datasource": _SOURCE,
            "editorMode": "code",
            "expr": self.expr,
            "legendFormat": self.name,
            "format": form,
            "instant": self.instant,
            "range": not self.instant,
            "exemplar": self.exemplars,
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel: `kind` as Grafana names it, `unit` likewise; a line is drawn at `limit`."""

    title: str
    queries: Sequence[Query]
    unit: str = "short"
    kind: str = "timeseries"
    limit: float | None = None
    about: str = ""
    more: Json = field(default_factory=dict)

    def as_data(self, number: int, place: Json) -> Json:
        """Return the panel as a dashboard has it."""
        form = {"heatmap": "heatmap", "table": "table"}.get(self.kind, "time_series")
        base = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": _SOURCE,
            "gridPos": place,
            "targets": [query.as_data(order, form) for order, query in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": _OPTIONS[self.kind],
        }
        return {**base, **self.more}

    def _defaults(self) -> Json:
        steps: list[Json] = [{"color": "green", "value": None}]
        custom: Json = dict(_CUSTOM.get(self.kind, {}))
        if self.limit is not None:
            steps.append({"color": "red", "value": self.limit})
            custom["thresholdsStyle"] = {"mode": "dashed"}
        return {"unit": self.unit, "custom": custom, "thresholds": {"mode": "absolute", "steps": steps}}


_CUSTOM: Final[dict[str, Json]] = {"timeseries": {"fillOpacity": 5, "showPoints": "never", "spanNulls": False}}
_REDUCED: Final[Json] = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Final[dict[str, Json]] = {
    "timeseries": {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {"reduceOptions": _REDUCED, "colorMode": "value", "graphMode": "area", "textMode": "auto"},
    "table": {"showHeader": True, "cellHeight": "sm"},
    "heatmap": {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "exemplars": {"color": "rgba(31, 96, 196, 0.7)"},
        "yAxis": {"unit": "s"},
        "cellGap": 1,
        "tooltip": {"mode": "single", "yHistogram": True},
    },
}


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side under a heading, `columns` of them in a line."""

    title: str
    panels: Sequence[Panel]
    columns: int = 3
    height: int = _HEIGHT


@dataclass(frozen=True, slots=True)
class Choice:
    """A variable of a dashboard: the values that a label has on a metric, narrowed by `matchers`."""

    name: str
    label: str
    metric: str
    matchers: Sequence[str] = ()

    @property
    def matcher(self) -> str:
        """The matcher that takes what was chosen."""
        return f'{self.label}=~"${self.name}"'

    def as_data(self) -> Json:
        """Return the variable as a dashboard has it."""
        return {
            "name": self.name,
            "label": self.name,
            "type": "query",
            "datasource": _SOURCE,
            "query": {
                "query": f"label_values({selector(self.metric, *self.matchers)}, {self.label})",
                "refId": self.name,
            },
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"text": ["All"], "value": ["$__all"]},
        }


def dashboard(uid: str, title: str, about: str, choices: Iterable[Choice], rows: Iterable[Row]) -> Json:
    """Return a dashboard; `uid` is its name for ever, so that links to it hold."""
    source = {
        "name": "ds",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "multi": False,
        "includeAll": False,
        "current": {},
    }
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": [_TAG],
        "schemaVersion": _SCHEMA,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [
            {
                "type": "dashboards",
                "title": _TAG,
                "tags": [_TAG],
                "asDropdown": True,
                "keepTime": True,
                "icon": "external link",
            }
        ],
        "templating": {"list": [source, *(choice.as_data() for choice in choices)]},
        "panels": list(_placed(rows)),
    }


def _placed(rows: Iterable[Row]) -> Iterable[Json]:
    """Yield the panels of all rows with their places, from top to bottom."""
    number, top = 0, 0
    for row in rows:
        number += 1
        heading = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "gridPos": heading, "panels": []}
        top += 1
        width = _COLUMNS // row.columns
        for order, panel in enumerate(row.panels):
            number += 1
            line, column = divmod(order, row.columns)
            place = {"h": row.height, "w": width, "x": column * width, "y": top + line * row.height}
            yield panel.as_data(number, place)
        top += -(-len(row.panels) // row.columns) * row.height
