"""The rule file of Prometheus, as text."""

from typing import Final

import yaml

from mmtrace.rules import model_alerts, process_alerts, recorded
from mmtrace.rules.objectives import Objectives
from mmtrace.rules.rule import Group

_HEAD: Final = "# Made by `mmtrace rules`; change the objectives, not this file.\n"


def groups(objectives: Objectives) -> list[Group]:
    """Return all groups: what is recorded, then the alerts that read it."""
    return [*recorded.groups(objectives), *model_alerts.groups(objectives), *process_alerts.groups(objectives)]


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as such."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """Return the node of a string."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _Dumper.represent_text)


def rule_file(objectives: Objectives) -> str:
    """Return the text of the rule file."""
    data = {"groups": [group.as_data() for group in groups(objectives)]}
    return _HEAD + yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=1_000_000, allow_unicode=True)
