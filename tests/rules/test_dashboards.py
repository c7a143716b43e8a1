"""The dashboards: that Grafana's own types take them, and that their queries ask for what exists."""

import json
import warnings

import pytest

from metric_names import unknown
from mmtrace.rules import ApiLimits, Limits, Model, Objectives, dashboards

OWN = Objectives(
    models={Model("reranker", "bge"): Limits(latency=0.25, target=0.99), Model("reranker", "ocr"): Limits()},
    api_models={Model("gateway", "gpt"): ApiLimits(latency=5.12)},
)


@pytest.fixture(scope="module")
def typed():
    """Reads a dashboard as Grafana's types have it, and returns what is left of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Grafana's next model of dashboards is not yet everywhere
        pytest.importorskip("grafana_foundation_sdk", reason="Grafana's types are not installed: they need Python 3.11")
        from grafana_foundation_sdk.cog.encoder import JSONEncoder
        from grafana_foundation_sdk.cog.plugins import register_default_plugins
        from grafana_foundation_sdk.models.dashboard import Dashboard

        register_default_plugins()
        yield lambda board: json.loads(json.dumps(Dashboard.from_json(board), cls=JSONEncoder))


def made(objectives):
    return {name: json.loads(text) for name, text in dashboards(objectives).items()}


def panels(objectives):
    return [panel for board in made(objectives).values() for panel in board["panels"] if panel["type"] != "row"]


@pytest.mark.parametrize("objectives", [Objectives(), OWN], ids=["defaults", "own"])
def test_every_query_is_promql_on_metrics_that_exist(objectives, exprs_of):
    exprs = [expr for board in made(objectives).values() for expr in exprs_of(board)]
    assert exprs
    assert {name for expr in exprs for name in unknown(expr)} == set()


@pytest.mark.parametrize("name", dashboards(Objectives()))
def test_grafanas_types_know_every_key(name, typed):
    board = made(OWN)[name]
    assert missing(board, typed(board)) == []


def missing(given, kept, path="") -> list[str]:
    """Return the paths of what is in `given` and not in `kept`."""
    if isinstance(given, dict):
        return [
            lost
            for key, value in given.items()
            for lost in (missing(value, kept[key], f"{path}.{key}") if key in kept else [f"{path}.{key}"])
        ]
    if isinstance(given, list):
        return [lost for one, other in zip(given, kept, strict=True) for lost in missing(one, other, f"{path}[]")]
    return [] if given == kept else [path]


def test_the_shipped_dashboards_are_those_of_the_default_objectives(shipped):
    files = {path.name: path.read_text() for path in shipped("grafana/dashboards/*")}
    assert files == dashboards(Objectives())


def test_a_dashboard_keeps_its_name_for_ever():
    assert {name: board["uid"] for name, board in made(OWN).items()} == {
        "mmtrace-models.json": "mmtrace-models",
        "mmtrace-processes.json": "mmtrace-processes",
        "mmtrace-telemetry.json": "mmtrace-telemetry",
    }


def test_every_query_asks_the_prometheus_that_was_chosen():
    for board in made(OWN).values():
        assert board["templating"]["list"][0]["query"] == "prometheus"
    for panel in panels(OWN):
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {"${ds}"}


def test_panels_of_durations_show_exemplars():
    for panel in panels(OWN):
        for target in panel["targets"]:
            if "_bucket" in target["expr"] and "batch_size" not in target["expr"]:
                assert target["exemplar"], panel["title"]


@pytest.mark.parametrize("objectives", [Objectives(), OWN], ids=["defaults", "own"])
def test_panels_lie_side_by_side_within_24_columns_and_never_overlap(objectives):
    for board in made(objectives).values():
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert not cells & taken
            assert max(x for x, _ in cells) < 24
            taken |= cells
        assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


def test_a_service_of_the_objectives_has_a_row_with_its_models_and_their_limits():
    board = made(OWN)["mmtrace-models.json"]
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert {"reranker", "gateway"} <= set(rows)
    (latency,) = [panel for panel in board["panels"] if panel["title"] == "bge: latency"]
    (slow,) = [panel for panel in board["panels"] if panel["title"] == "bge: slow calls"]
    assert latency["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == 0.25
    assert slow["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == 0.01
    assert all('job="reranker",model="bge"' in target["expr"] for target in latency["targets"] + slow["targets"])
