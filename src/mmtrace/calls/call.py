"""A call: one operation with a span, whose context is entered step by step, and which ends once.

A function's call has one step. A stream has one for each item, so that its consumer never runs inside the stream's
span. `end()` may come from any thread or from a finalizer, as often as it likes: the first one counts.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeAlias, TypedDict

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, Status, StatusCode, TraceFlags
from typing_extensions import Self, Unpack

from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.calls.context import OPEN_KEY, attached, current_context, here, open_call
from mmtrace.calls.model import Model
from mmtrace.calls.outcome import Outcome, error_type_of, outcome_of
from mmtrace.calls.outputs import Outputs
from mmtrace.recording import guard
from mmtrace.recording.current import SPAN_KEY, with_span
from mmtrace.recording.span import Span as RecordedSpan
from mmtrace.spans import clock

Attributes: TypeAlias = Mapping[str, Any]

_KEYS: Final = {
    "batch_size": names.BATCH_SIZE,
    "padding_ratio": names.BATCH_PADDING_RATIO,
    "input_tokens": names.INPUT_TOKENS,
    "output_tokens": names.OUTPUT_TOKENS,
    "input_bytes": names.INPUT_BYTES,
    "input_shapes": names.INPUT_SHAPES,
    "input_dtypes": names.INPUT_DTYPES,
    "device": names.MODEL_DEVICE,
    "dtype": names.MODEL_DTYPE,
    "parameters": names.MODEL_PARAMETERS,
    "phase": names.MODEL_PHASE,
    "queue_duration": names.QUEUE_DURATION,
    "device_duration": names.DEVICE_DURATION,
    "deadline": names.DEADLINE,
    "deadline_left": names.DEADLINE_LEFT,
}
_USAGE: Final = {
    "input_tokens": names.GEN_AI_USAGE_INPUT_TOKENS,
    "output_tokens": names.GEN_AI_USAGE_OUTPUT_TOKENS,
}


class Facts(TypedDict, total=False):
    """What `ModelCall.set` takes: durations in seconds, tokens and sizes as counts, `padding_ratio` from 0 to 1."""

    batch_size: int | None
    padding_ratio: float | None
    input_tokens: int | None
    output_tokens: int | None
    input_bytes: int | None
    input_shapes: Sequence[str] | None
    input_dtypes: Sequence[str] | None
    device: str | None
    dtype: str | None
    parameters: int | None
    phase: str | None
    queue_duration: float | None
    device_duration: float | None
    deadline: float | None
    deadline_left: float | None


class Call:
    """Any operation: a span, the context in which it is current, and one end."""

    __slots__ = ("__weakref__", "_began", "_context", "_parent", "_process", "_right_to_end", "span", "start_time")

    def __init__(self, span: Span, parent: Context, start_time: int, began: int) -> None:
        self.span = span
        self.start_time = start_time
        self._parent = parent
        self._context: Context | None = None
        self._began = began
        self._right_to_end = True
        self._process = telemetry.process

    @classmethod
    def start(
        cls,
        name: str,
        *,
        kind: SpanKind = SpanKind.INTERNAL,
        parent: Context | None = None,
        links: Sequence[Link] = (),
        attributes: Attributes | None = None,
        start_time: int | None = None,
    ) -> Self:
        """Start a call named `name` under `parent`, the current context where none is given.

        `start_time` is in nanoseconds since the epoch, for an operation that began before it could be recorded.
        """
        context = current_context() if parent is None else parent
        span = telemetry.current.tracer.start_span(name, context, kind, attributes, links, start_time)
        return cls(span, context, *_start_of(span, start_time))

    @property
    def context(self) -> Context:
        """The context in which its span is current."""
        if self._context is None:
            self._context = with_span(self.span, self._parent)
        return self._context

    @property
    def ended(self) -> bool:
        """Whether it has ended."""
        return not hasattr(self, "_right_to_end")

    def step(self) -> AbstractContextManager[Context]:
        """Return a block in which the call's context is current, for one step; never keep it across a yield."""
        return attached(self.inside())

    def inside(self) -> Context:
        """Return the context to be made current for one step, in this very task or thread."""
        return self.context

    def set_attribute(self, key: str, value: Any) -> None:
        """Set an attribute of the span."""
        self.span.set_attribute(key, value)

    def end(
        self, error: BaseException | None = None, *, outcome: Outcome | None = None, error_type: str | None = None
    ) -> None:
        """End the call; only the first time does anything.

        `error` is what it ended with; `outcome` and `error_type` say what the exception alone does not.
        """
        try:
            del self._right_to_end  # one step, which only the first of several threads or finalizers can take
        except AttributeError:
            return
        if self._process is not telemetry.process:
            return  # a fork copied it: it ends in the process that started it
        if outcome is None:
            outcome = "ok" if error is None else outcome_of(error)
        self._end_after(clock.monotonic() - self._began, outcome, error, error_type)

    def _end_after(
        self, elapsed: int, outcome: Outcome, error: BaseException | None, error_type: str | None = None
    ) -> None:
        if outcome == "error":
            error_type = error_type or (error_type_of(error) if error is not None else "_OTHER")
        try:
            try:
                self._finish(elapsed, outcome, error, error_type)
            finally:
                self.span.end(self.start_time + elapsed)
        except Exception as fault:
            if guard.strict:
                raise
            guard.report("call.end", f"mmtrace: the end of a call could not be recorded: {fault!r}", fault)

    def _finish(self, elapsed: int, outcome: Outcome, error: BaseException | None, error_type: str | None) -> None:
        if outcome == "error":
            self._record_error(error, error_type)
        elif outcome == "cancelled":
            self.span.set_attribute(names.OUTCOME, outcome)

    def _record_error(self, error: BaseException | None, error_type: str | None) -> None:
        span = self.span
        if not span.is_recording():
            return
        if error is not None:
            span.record_exception(error, escaped=True)
        span.set_attribute(names.ERROR_TYPE, error_type or "_OTHER")
        span.set_status(Status(StatusCode.ERROR, str(error) if error is not None else None))


def _start_of(span: Span, start_time: int | None = None) -> tuple[int, int]:
    """Return when `span` began, by the wall and by the monotonic clock; a span of ours has read them already."""
    if type(span) is RecordedSpan:
        return span.start_time, span.began
    now, began = clock.wall(), clock.monotonic()
    return (now, began) if start_time is None else (start_time, began - (now - start_time))


class ModelCall(Call):
    """One call of a model: what `Call` does, and the model's metrics, also where sampling left the span out."""

    __slots__ = ("_measured", "_outputs", "counted", "model", "place")

    def __init__(
        self,
        model: Model,
        span: Span,
        parent: Context,
        start_time: int,
        began: int,
        counted: bool,  # noqa: FBT001
    ) -> None:
        # All of Call's own too: a call of its __init__ would be one more for every call of a model.
        self.span = span
        self.start_time = start_time
        self._parent = parent
        self._context = None
        self._began = began
        self._right_to_end = True
        self._process = telemetry.process
        self.model = model
        self.counted = counted
        self._measured: dict[str, Any] = {}
        self._outputs: Outputs | None = None

    @classmethod
    def of(
        cls,
        model: Model,
        parent: Context | None = None,
        batch_size: int | None = None,
        nested: bool = False,  # noqa: FBT001, FBT002  # by position, for those who start one for every call
        kind: SpanKind = SpanKind.INTERNAL,
        links: Sequence[Link] = (),
        attributes: Attributes | None = None,
    ) -> "ModelCall | None":
        """Start a call of `model`, or return None where it lies inside a call of the same runtime.

        Inside a call of another runtime it is a child span without call metrics, so that one request counts once.
        A model without a framework was named by the user and always counts; `nested=True` counts any other too.
        """
        context = current_context() if parent is None else parent
        outer = None if nested or OPEN_KEY not in context else open_call(context)
        if outer is not None and outer.same_runtime(model):
            return None
        given = {**model.attributes, **attributes} if attributes else model.attributes
        span = telemetry.current.tracer.start_span(model.span_name, context, kind, given, links)
        start, began = (span.start_time, span.began) if type(span) is RecordedSpan else _start_of(span)
        counted = outer is None or not model.framework
        if counted:
            model.series.begin()
            if telemetry.at_first_call:
                telemetry.run_at_first_call()
        call = cls(model, span, context, start, began, counted)
        if batch_size is not None:
            span.set_attribute(names.BATCH_SIZE, batch_size)
            call._measured["batch_size"] = batch_size
        return call

    def same_runtime(self, model: Model) -> bool:
        """Whether a call of `model` inside this one is but a part of it."""
        mine = self.model
        return mine is model or bool(model.framework and mine.framework == model.framework)

    def inside(self) -> Context:
        """Return the context for one step, in which the same runtime's inner calls are parts of this one."""
        self.place = here()
        parent, own = self._parent, {SPAN_KEY: self.span, OPEN_KEY: self}
        return Context(parent | own if parent else own)

    def set(self, **facts: Unpack[Facts]) -> None:
        """Record facts of the call.

        An unknown key is recorded as it is, counted, and logged once.
        """
        span, measured, operation = self.span, self._measured, self.model.operation
        value: Any
        for key, value in facts.items():
            name = _KEYS.get(key)
            if name is None:
                self._set_unknown(key, value)
            elif value is not None:
                span.set_attribute(name, value)
                measured[key] = value
                if operation and key in _USAGE:
                    span.set_attribute(_USAGE[key], value)

    def _set_unknown(self, key: str, value: Any) -> None:
        guard.report(f"call.set({key})", f"mmtrace: call.set() does not know {key!r}; recorded as it is")
        self.span.set_attribute(key, value)

    def content(self, *, input: Any = None, output: Any = None) -> None:  # noqa: A002  # the pair reads best so
        """Record what the model was given and answered, where content capture is on and the span is recorded.

        Each is a value, or a function that makes it and runs only then.
        """
        policy = telemetry.current.content
        if not policy.on or not self.span.is_recording():
            return
        found = {names.INPUT_CONTENT: input, names.OUTPUT_CONTENT: output}
        texts = {key: self._text(policy.text, value) for key, value in found.items() if value is not None}
        if policy.on_spans:
            self.span.set_attributes(texts)
        if policy.on_events:
            self.span.add_event(names.CONTENT_EVENT, texts)

    @staticmethod
    def _text(render: Callable[[Any], str], value: Any) -> str:
        try:
            return render(value)
        except Exception as fault:
            guard.report("call.content", f"mmtrace: content could not be captured: {fault!r}", fault)
            return ""

    def output(self, count: int = 1) -> None:
        """Note that `count` items of the answer are there, for time to first output and time per output."""
        self.outputs.item(clock.monotonic(), count)

    @property
    def outputs(self) -> Outputs:
        """What is known of the items of the answer, for a call that streams."""
        if self._outputs is None:
            self._outputs = Outputs(self._began)
        return self._outputs

    def _finish(self, elapsed: int, outcome: Outcome, error: BaseException | None, error_type: str | None) -> None:
        span = self.span
        if outcome == "error":
            self._record_error(error, error_type)
        if outcome != "ok" or type(span) is not RecordedSpan or not span.share(self.model.attributes_if_ok):
            span.set_attribute(names.OUTCOME, outcome)
        outputs = self._outputs
        if outputs is not None and span.is_recording():
            outputs.record(span, self.start_time)
        if not self.counted:
            return
        # By index: the properties of a SpanContext, which is a tuple, cost three times as much.
        context = span.context if type(span) is RecordedSpan else span.get_span_context()
        sampled = context[3] & 1 and telemetry.current.exemplars
        given = self._measured.get
        marked = self.model.series.end(
            outcome,
            error_type or "",
            elapsed / 1e9,
            context[0] if sampled else 0,
            context[1] if sampled else 0,
            given("input_tokens"),
            given("output_tokens"),
            given("batch_size"),
            given("queue_duration"),
            given("device_duration"),
            outputs.first if outputs else None,
            outputs.per_output if outputs else None,
        )
        if marked:
            span.set_attribute(names.EXEMPLAR, True)


class PartOfCall:
    """Stands for a call that is but a part of the open one: it takes everything and records nothing."""

    span: Final = INVALID_SPAN

    def set(self, **values: Any) -> None:
        """Record nothing."""

    def set_attribute(self, key: str, value: Any) -> None:
        """Record nothing."""

    def content(self, *, input: Any = None, output: Any = None) -> None:  # noqa: A002  # as ModelCall.content
        """Record nothing."""

    def output(self, count: int = 1) -> None:
        """Record nothing."""


class PipelineCall(Call):
    """One run of a pipeline: a call with its duration in the metrics."""

    __slots__ = ("_name",)

    _name: str

    @classmethod
    def of(cls, name: str, *, parent: Context | None = None) -> "PipelineCall":
        """Start a run of the pipeline `name`."""
        call = cls.start(f"pipeline {name}", parent=parent, attributes={names.PIPELINE_NAME: name})
        call._name = name
        return call

    def _finish(self, elapsed: int, outcome: Outcome, error: BaseException | None, error_type: str | None) -> None:
        super()._finish(elapsed, outcome, error, error_type)
        self.span.set_attribute(names.OUTCOME, outcome)
        context = self.span.get_span_context()
        sampled = context.trace_flags & TraceFlags.SAMPLED and telemetry.current.exemplars
        ids = {"trace_id": context.trace_id, "span_id": context.span_id} if sampled else {}
        if telemetry.metrics.pipeline(self._name, outcome, error_type or "", elapsed / 1e9, **ids):
            self.span.set_attribute(names.EXEMPLAR, True)
