"""The model that a call is a call of: its names, and what all its calls have in common."""

from typing import Final

from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.metrics import CallSeries
from mmtrace.recording.cleaning import SharedAttributes, clean_name

_GEN_AI_OPERATIONS: Final = {
    "generate": "text_completion",
    "chat": "chat",
    "text_completion": "text_completion",
    "generate_content": "generate_content",
    "embed": "embeddings",
    "embeddings": "embeddings",
    "retrieval": "retrieval",
}
"""Tasks that the GenAI conventions know, by the name of their operation."""


class Model:
    """One model: `name`, `version`, `task` and `framework`, each of low cardinality; they label its metrics.

    Make it once and use it for every call: the span's name, the common attributes and the metric series are made once.
    """

    __slots__ = (
        "attributes",
        "attributes_if_ok",
        "framework",
        "name",
        "operation",
        "series",
        "span_name",
        "task",
        "version",
    )

    def __init__(self, name: str, version: str = "", task: str = "infer", framework: str = "") -> None:
        self.name = clean_name(name)
        self.version = clean_name(version)
        self.task = clean_name(task)
        self.framework = clean_name(framework)
        self.span_name = f"{self.task} {self.name}"
        self.operation = _GEN_AI_OPERATIONS.get(self.task)
        self.attributes = self._attributes()
        self.attributes_if_ok = self.attributes.with_last(names.OUTCOME, "ok")
        self.series: CallSeries = telemetry.metrics.series(self.name, self.version, self.task, self.framework)

    def _attributes(self) -> SharedAttributes:
        found = {names.MODEL_NAME: self.name, names.MODEL_TASK: self.task}
        if self.version:
            found[names.MODEL_VERSION] = self.version
        if self.framework:
            found[names.MODEL_FRAMEWORK] = self.framework
        if self.operation:
            found[names.GEN_AI_OPERATION_NAME] = self.operation
            found[names.GEN_AI_PROVIDER_NAME] = self.framework or "_OTHER"
            found[names.GEN_AI_REQUEST_MODEL] = self.name
        return SharedAttributes(found)

    def __repr__(self) -> str:
        return f"Model({self.name!r}, version={self.version!r}, task={self.task!r}, framework={self.framework!r})"
