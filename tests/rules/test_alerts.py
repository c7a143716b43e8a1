"""The rules: whom they group by, that each has its tests, and that the shipped file is what the code makes."""

import pytest

from metric_names import OTELCOL, metrics, unknown, used
from mmtrace.rules import ApiLimits, Limits, Model, Objectives, rule_file
from mmtrace.rules.rule_file import groups

OWN = Objectives(
    models={Model("reranker", "bge"): Limits(latency=0.25), Model('a"b', "x.y|z"): Limits(latency=5.0, target=0.9)},
    api_models={Model("gateway", "gpt"): ApiLimits(latency=5.12)},
)


def rules_of(objectives):
    return [rule for group in groups(objectives) for rule in group.as_data()["rules"]]


def alerts_of(objectives):
    return [rule for rule in rules_of(objectives) if "alert" in rule]


def test_every_alert_has_a_test_in_which_it_fires(default_rules, shipped_tests):
    alerts = {(rule["alert"], rule["labels"].get("signal")) for rule in default_rules if "alert" in rule}
    fired = {(name, labels.get("signal")) for name, expected in shipped_tests for labels in expected}
    assert fired == alerts


def test_every_alert_has_a_test_in_which_it_stays_silent(default_rules, shipped_tests):
    alerts = {rule["alert"] for rule in default_rules if "alert" in rule}
    assert {name for name, expected in shipped_tests if not expected} == alerts


def test_the_tests_evaluate_the_groups_in_the_order_of_the_file(shipped, parsed):
    order = [group["name"] for group in parsed("rules/mmtrace.rules.yml")["groups"]]
    for path in shipped("rules/tests/*.test.yml"):
        assert parsed(path)["group_eval_order"] == order


def test_the_shipped_rules_are_those_of_the_default_objectives(shipped):
    (path,) = shipped("rules/*.yml")
    assert path.read_text() == rule_file(Objectives())


@pytest.mark.parametrize("objectives", [Objectives(), OWN], ids=["defaults", "own"])
def test_every_expression_is_promql_on_metrics_that_exist(objectives):
    assert {name for rule in rules_of(objectives) for name in unknown(rule["expr"])} == set()


@pytest.mark.parametrize("objectives", [Objectives(), OWN], ids=["defaults", "own"])
def test_no_series_is_recorded_by_two_rules(objectives):
    recorded = [rule["record"] for rule in rules_of(objectives) if "record" in rule]
    assert len(set(recorded)) == len(recorded)


def test_what_is_recorded_is_read_by_a_rule_or_a_dashboard(default_rules, dashboard_exprs):
    exprs = [rule["expr"] for rule in default_rules] + dashboard_exprs
    read = {name for expr in exprs for name in used(expr)}
    assert {rule["record"] for rule in default_rules if "record" in rule} <= read


def test_every_alert_on_models_says_which_model_of_which_service():
    for rule in alerts_of(Objectives()):
        if used(rule["expr"]) & {name for name in metrics() if "model_call" in name or "gen_ai" in name}:
            assert "{{ $labels.model }}" in rule["annotations"]["summary"]
        if not any(name.startswith(OTELCOL) for name in used(rule["expr"])):
            assert "{{ $labels.job }}" in rule["annotations"]["summary"]


def test_every_alert_says_how_urgent_it_is_and_where_to_look():
    for rule in alerts_of(OWN):
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["description"].endswith(".")


def test_the_same_objectives_give_the_same_text():
    assert rule_file(OWN) == rule_file(OWN)
    turned = Objectives(models=dict(reversed(OWN.models.items())), api_models=OWN.api_models)
    assert rule_file(turned) == rule_file(OWN)


def test_names_of_services_and_models_cannot_break_an_expression():
    assert 'job="a\\"b",model="x.y|z"' in rule_file(OWN)
