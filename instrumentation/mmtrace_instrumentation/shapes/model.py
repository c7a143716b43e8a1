"""A call of a model that runs in this process.

A library file says which methods are calls, which model an object is, and how to read what it is given:

    def _read(call, session, args, kwargs):
        model.describe(call, argument(args, kwargs, 1, "input_feed").values())

    Patch("library:Session.run", model.calling(_model_of, _read))

Models of a library call each other and themselves, in threads and processes of their own as well. Only the outermost
call is recorded: calls inside it are parts of it (`part_of_call`), and so are those inside a training (`training`).
"""

import weakref
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

from opentelemetry.context import create_key

from mmtrace.instrumenting import (
    Context,
    Model,
    ModelCall,
    OpenCall,
    attached,
    current_context,
    extract,
    inject,
    never_raises,
    open_call,
    suppressed,
)

Arguments: TypeAlias = tuple[Any, ...]
Keywords: TypeAlias = dict[str, Any]
ModelOf: TypeAlias = Callable[[Any, str], Model]
"""Returns the model that an object is when the method of that name is called."""
Read: TypeAlias = Callable[[ModelCall, Any, Arguments, Keywords], None]
"""Records what a call is given: `read(call, object, args, kwargs)`."""
Wrapper: TypeAlias = Callable[[Any, Any, Arguments, Keywords], Generator[Any, Any, None]]

_V = TypeVar("_V")
_QUIET_KEY: Final = create_key("mmtrace-quiet-runtimes")


def calling(model_of: ModelOf, read: Read) -> Wrapper:
    """Return the wrapper of a method that is a call of a model from its start to its return."""
    return partial(_call, model_of, never_raises(read))


def _call(
    model_of: ModelOf, read: Read, wrapped: Any, instance: Any, args: Arguments, kwargs: Keywords
) -> Generator[None, Any, None]:
    instance, args = bound(instance, args)
    call = begin(model_of(instance, wrapped.__name__))
    if call is None:
        yield
        return
    try:
        with call.step():
            read(call, instance, args, kwargs)
            result = yield
        call.content(output=result)
    except BaseException as error:
        call.end(error)
        raise
    call.end()


def begin(model: Model) -> ModelCall | None:
    """Start a call of `model`, or return None where it is a part of another or where nothing is to be recorded."""
    return None if suppressed() or model.framework in _quiet(current_context()) else ModelCall.of(model)


def bound(instance: Any, args: Arguments) -> tuple[Any, Arguments]:
    """Return the object and its arguments; a descriptor that binds methods itself leaves the object among these."""
    return (args[0], args[1:]) if instance is None and args else (instance, args)


def argument(args: Arguments, kwargs: Mapping[str, Any], position: int, name: str, default: Any = None) -> Any:
    """Return an argument that is given by position or by name."""
    return args[position] if len(args) > position else kwargs.get(name, default)


# --- what is part of a call, or of a training -----------------------------------------------------------------------


def training(framework: str) -> Wrapper:
    """Return the wrapper of a method that trains: the models of `framework` that it calls serve nobody."""
    return partial(_train, framework)


def _train(
    framework: str, wrapped: Any, instance: Any, args: Arguments, kwargs: Keywords
) -> Generator[None, Any, None]:
    with attached(_with_quiet(framework, current_context())):
        yield


def part_of_call(framework: str) -> Callable[[Callable[..., Any]], "Part"]:
    """Return what makes functions parts of the call that is open now, in whichever thread or process they run.

    Where no call is open they run in the context of now. In another process, where the call itself cannot be, the
    models of `framework` are quiet.
    """
    context = current_context()
    return partial(Part, framework, context, open_call(context))


class Part:
    """A function that a library gives to its workers."""

    __slots__ = ("_call", "_context", "_framework", "_function")

    def __init__(self, framework: str, context: Context, call: OpenCall | None, function: Callable[..., Any]) -> None:
        self._framework = framework
        self._context = context
        self._call = call
        self._function = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function as a part of the call."""
        with attached(self._context) if self._call is None else self._call.step():
            return self._function(*args, **kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        is_quiet = self._call is not None or self._framework in _quiet(self._context)
        context = self._context if self._call is None else self._call.context
        return (_arrived_quiet if is_quiet else _arrived), (self._framework, inject({}, context), self._function)


def _arrived(framework: str, fields: Mapping[str, str], function: Callable[..., Any]) -> Part:
    return Part(framework, extract(fields), None, function)


def _arrived_quiet(framework: str, fields: Mapping[str, str], function: Callable[..., Any]) -> Part:
    return Part(framework, _with_quiet(framework, extract(fields)), None, function)


def _quiet(context: Context) -> frozenset[str]:
    found: frozenset[str] = context.get(_QUIET_KEY, frozenset())  # type: ignore[assignment]
    return found


def _with_quiet(framework: str, context: Context) -> Context:
    return Context({**context, _QUIET_KEY: _quiet(context) | {framework}})


# --- facts of models and of arrays ----------------------------------------------------------------------------------


class Remembered(Generic[_V]):
    """What `make` returns for an object, made once and kept for as long as the object lives.

    Objects are told apart by identity, because models may be unhashable, or equal to others, and may not be written to.
    """

    def __init__(self, make: Callable[[Any], _V]) -> None:
        self._make = make
        self._made: dict[int, tuple[weakref.ref[Any], _V]] = {}

    def __call__(self, thing: Any) -> _V:
        """Return what was made of `thing`."""
        key = id(thing)
        known = self._made.get(key)
        if known is not None and known[0]() is thing:
            return known[1]
        value = self._make(thing)
        self._made[key] = (weakref.ref(thing, lambda _: self._made.pop(key, None)), value)
        return value


def describe(call: ModelCall, inputs: Iterable[Any], **facts: Any) -> None:
    """Record shapes, element types and sizes of arrays, tables, tensors or sequences, never their values, and `facts`.

    A call that is not recorded has its `batch_size` only, which its metrics need.
    """
    if not call.span.is_recording():
        call.set(batch_size=facts.get("batch_size"))
        return
    given = list(inputs)
    shapes = [shape for shape in map(shape_of, given) if shape is not None]
    types = [str(kind) for kind in (getattr(value, "dtype", None) for value in given) if kind is not None]
    sizes = [size for size in (getattr(value, "nbytes", None) for value in given) if isinstance(size, int)]
    call.set(
        input_shapes=["x".join(map(str, shape)) for shape in shapes] or None,
        input_dtypes=types or None,
        input_bytes=sum(sizes) if sizes else None,
        **facts,
    )


def shape_of(value: Any) -> Sequence[int] | None:
    """Return the shape of an array or of what is like one, the length of another sequence, or else None."""
    shape = getattr(value, "shape", None)
    if shape is not None and not callable(shape):
        return tuple(shape)
    return (len(value),) if isinstance(value, (list, tuple)) else None


def rows_of(value: Any) -> int | None:
    """Return the first dimension of `value`, if it has one."""
    shape = shape_of(value)
    return int(shape[0]) if shape else None
