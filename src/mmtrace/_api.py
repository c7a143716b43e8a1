"""The user's verbs. Each does its work through `calls`; nothing here raises after `configure()`."""

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from types import FunctionType, TracebackType
from typing import Any, Generic, TypeVar, cast

from opentelemetry import baggage
from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, get_current_span

from mmtrace import attributes as names
from mmtrace._configure import configure, flush, instrument, shutdown, uninstrument
from mmtrace.calls.batch import Batch, Ticket
from mmtrace.calls.call import Call, ModelCall, PartOfCall, PipelineCall
from mmtrace.calls.context import attached, current_context
from mmtrace.calls.decorate import traced
from mmtrace.calls.model import Model
from mmtrace.calls.queues import CarryingQueue
from mmtrace.recording import carriers, guard
from mmtrace.recording.cleaning import clean_name, items_of
from mmtrace.recording.current import ROOT, replace
from mmtrace.recording.current import attach as attach_context
from mmtrace.recording.current import detach as detach_context
from mmtrace.recording.guard import never_raises
from mmtrace.transport import FlushResult

__all__ = [
    "aflush",
    "ashutdown",
    "attach",
    "batch",
    "carry",
    "configure",
    "enqueue",
    "flush",
    "inject",
    "instrument",
    "keep",
    "model",
    "model_call",
    "pipeline",
    "shutdown",
    "span",
    "stage",
    "uninstrument",
]

_F = TypeVar("_F", bound=Callable[..., Any])
_C = TypeVar("_C", bound=carriers.Carrier)
_Queue = TypeVar("_Queue")
_Shown = TypeVar("_Shown")


class Block(Generic[_Shown]):
    """A call as a `with` block, or as a decorator of functions of any kind."""

    __slots__ = ("_begin", "_call", "_show", "_token")

    def __init__(self, begin: Callable[[Context], Call | None], show: Callable[[Any], _Shown]) -> None:
        self._begin = begin
        self._show = show

    def __call__(self, function: _F) -> _F:
        """Return `function` as a function of the same kind, each of whose invocations is such a call."""
        return traced(self._started)(function)

    def __enter__(self) -> _Shown:
        try:
            call = self._begin(current_context())
        except Exception as error:
            call = _not_started(error)
        self._call = call
        if call is not None:
            self._token = attach_context(call.inside())
        return self._show(call)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        call = self._call
        if call is not None:
            detach_context(self._token)
            call.end(error)

    def _started(self, parent: Context) -> Call | None:
        try:
            return self._begin(parent)
        except Exception as error:
            return _not_started(error)


def _not_started(error: Exception) -> Call | None:
    if guard.strict:
        raise error
    guard.report("begin", f"mmtrace: a call could not be started: {error!r}", error)
    return None


_PART = PartOfCall()
_inject = never_raises(carriers.inject)
_extract = never_raises(carriers.extract)
_tuple_of: Callable[[Iterable[Any]], tuple[Any, ...] | None] = never_raises(tuple)
_models: dict[tuple[str, str, str, str], Model] = {}
_MOST_MODELS = 2_000


def _model(*given: str) -> Model:
    name, version, task, framework = map(clean_name, given)
    key = (name, version, task, framework)
    found = _models.get(key)
    if found is None:
        found = Model(*key)
        if len(_models) < _MOST_MODELS:
            _models[key] = found
    return found


def _named(name: object, verb: str) -> None:
    """Refuse a function where a name belongs: `@mmtrace.pipeline` without one would make a call of the function."""
    if isinstance(name, (FunctionType, type)):
        raise TypeError(f'a name is missing: write @mmtrace.{verb}("{name.__name__}")')


def _span_of(call: Call | None) -> Span:
    return INVALID_SPAN if call is None else call.span


def _call_of(call: Any) -> Any:
    return _PART if call is None else call


def model(
    name: str, *, version: str = "", task: str = "infer", framework: str = "", nested: bool = False
) -> Callable[[_F], _F]:
    """Decorate a function, coroutine function, generator or async generator as a call of the model `name`.

    `task` is one of infer, generate, embed, rerank, classify, regress, detect, segment, ocr, asr, tts, transform and
    route. Inside a call of the same `framework` it is a part of that call unless `nested`. A generator's call begins
    with its first item and measures time to first output, time per output and the consumer's own time.
    """
    _named(name, "model")
    called = _model(name, version, task, framework)
    return Block(lambda parent: ModelCall.of(called, parent=parent, nested=nested), _call_of)


def model_call(
    name: str,
    *,
    version: str = "",
    task: str = "infer",
    framework: str = "",
    batch_size: int | None = None,
    nested: bool = False,
) -> "ModelBlock":
    """Open a block that is one call of the model `name`; it gives the `ModelCall`, for `set()` and `content()`."""
    try:
        called = _models[name, version, task, framework]
    except Exception:  # a new one, or names that are no texts and cannot be looked up
        called = _model(name, version, task, framework)
    return ModelBlock(called, batch_size, nested)


class ModelBlock(Block[ModelCall]):
    """One call of a model as a `with` block; it is entered most often, so it enters in fewer steps than others."""

    __slots__ = ("_batch_size", "_model", "_nested")

    def __init__(self, called: Model, batch_size: int | None, nested: bool) -> None:  # noqa: FBT001
        self._model = called
        self._batch_size = batch_size
        self._nested = nested

    def _begin(self, parent: Context) -> ModelCall | None:
        return ModelCall.of(self._model, parent, self._batch_size, self._nested)

    def __enter__(self) -> ModelCall:
        parent = current_context()
        call: ModelCall | None = None
        try:
            call = ModelCall.of(self._model, parent, self._batch_size, self._nested)
        except Exception as error:
            _not_started(error)
        self._call = call
        if call is None:
            return cast("ModelCall", _PART)
        self._token = (replace if parent or parent is ROOT else attach_context)(call.inside())
        return call


def pipeline(name: str) -> Block[Span]:
    """Decorate a function, or open a block, as one run of the pipeline `name`; its duration becomes a metric."""
    _named(name, "pipeline")
    text = clean_name(name)
    return Block(lambda parent: PipelineCall.of(text, parent=parent), _span_of)


def stage(name: str) -> Block[Span]:
    """Decorate a function, or open a block, as the stage `name` of a pipeline that is not a model call."""
    _named(name, "stage")
    return Block(
        lambda parent: Call.start(f"stage {name}", parent=parent, attributes={names.STAGE_NAME: name}), _span_of
    )


def span(
    name: str,
    /,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Sequence[Link] = (),
    attributes: dict[str, Any] | None = None,
    **more: Any,
) -> Block[Span]:
    """Open a block, or decorate a function, as a span of any other kind; it gives the span.

    `attributes` takes keys with dots, `more` those that are identifiers.
    """
    if type(name) is not str:
        _named(name, "span")
    given = {**(attributes if type(attributes) is dict else dict(items_of(attributes))), **more}
    return Block(lambda parent: Call.start(name, kind=kind, parent=parent, links=links, attributes=given), _span_of)


def batch(
    name: str,
    tickets: Iterable[Ticket | carriers.Carrier],
    *,
    version: str = "",
    task: str = "infer",
    framework: str = "",
) -> Block[Batch]:
    """Open a block that is one executed batch of the model `name` and serves all `tickets`.

    A ticket comes from `enqueue()`, or is a carrier that `inject()` filled. When the block ends, each request's own
    trace gets a span from its arrival to the end, with `mmtrace.queue.duration` and a link to the batch.
    """
    called = _model(name, version, task, framework)
    served = _tuple_of(tickets) or ()
    return Block(lambda _parent: Batch.serving(called, served), _call_of)


def enqueue() -> Ticket:
    """Return a ticket for one request that begins to wait now: its context and its time of arrival. It pickles."""
    return Ticket.now()


def carry(queue: _Queue) -> _Queue:
    """Return `queue` so that what is put in carries its context and time of arrival; to be called at both ends.

    `get()` makes the item's context current, in its thread or task, until the next one is taken. For queues of
    threads, processes, managers and asyncio; in everything else it is the very queue, and it pickles where that does.
    """
    return cast("_Queue", CarryingQueue(queue))


def inject(carrier: _C) -> _C:
    """Write the current context and the time into `carrier`, and return it.

    `carrier` is a mapping, a list of (key, value) pairs, or bytes, which come back wrapped in an envelope.
    """
    ticket = Ticket.now()
    written = _inject(carrier, ticket.context, arrival_ns=ticket.arrival)
    return carrier if written is None else written


@contextmanager
def attach(carrier: Context | Ticket | carriers.Carrier) -> Generator[Context]:
    """Make the context that `carrier` carries current inside the block; a carrier without one starts a new trace."""
    with attached(_context_of(carrier)) as context:
        yield context


def _context_of(carrier: Context | Ticket | carriers.Carrier) -> Context:
    if isinstance(carrier, Context):
        return carrier
    if isinstance(carrier, Ticket):
        return carrier.context
    return _extract(carrier) or Context()


@never_raises
def keep() -> None:
    """Ask tail sampling to keep this trace: marks the current span, and tells the services that follow by baggage."""
    get_current_span().set_attribute(names.KEEP, True)
    attached(baggage.set_baggage(names.KEEP, "true")).__enter__()


async def aflush(timeout: float = 5.0) -> FlushResult:
    """Do what `flush` does without blocking the event loop."""
    import asyncio

    return await asyncio.to_thread(flush, timeout)


async def ashutdown(timeout: float = 5.0) -> FlushResult:
    """Do what `shutdown` does without blocking the event loop."""
    import asyncio

    return await asyncio.to_thread(shutdown, timeout)
