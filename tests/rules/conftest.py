import json
import re
from pathlib import Path

import pytest
import yaml

from mmtrace.rules import Objectives, dashboards
from mmtrace.rules.rule_file import groups

SHIPPED = Path(__file__).parents[2] / "collector-config"


@pytest.fixture(scope="session")
def shipped():
    """Finds shipped files by a pattern."""
    return lambda pattern: sorted(SHIPPED.glob(pattern))


@pytest.fixture(scope="session")
def parsed():
    """Reads a shipped YAML file."""
    return lambda name: yaml.safe_load((SHIPPED / name).read_text())


@pytest.fixture(scope="session")
def default_rules():
    """Every rule of the default objectives, as a rule file has it."""
    return [rule for group in groups(Objectives()) for rule in group.as_data()["rules"]]


@pytest.fixture(scope="session")
def shipped_tests(shipped, parsed):
    """Every alert that a shipped promtool test looks at, with the labels of those that it expects."""
    return [
        (case["alertname"], [alert["exp_labels"] for alert in case["exp_alerts"]])
        for path in shipped("rules/tests/*.test.yml")
        for group in parsed(path)["tests"]
        for case in group["alert_rule_test"]
    ]


@pytest.fixture(scope="session")
def exprs_of():
    """Returns the queries of a dashboard, with the variables of Grafana filled in."""

    def exprs(dashboard):
        chosen = {choice["name"]: choice.get("allValue", "") for choice in dashboard["templating"]["list"]}
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                expr = target["expr"].replace("$__rate_interval", "5m")
                yield re.sub(r"\$(\w+)", lambda name: chosen[name[1]], expr)

    return exprs


@pytest.fixture(scope="session")
def dashboard_exprs(exprs_of):
    """Every query of the default dashboards."""
    return [expr for text in dashboards(Objectives()).values() for expr in exprs_of(json.loads(text))]
