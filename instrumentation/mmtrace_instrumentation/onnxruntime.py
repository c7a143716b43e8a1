"""onnxruntime: every way to run an `InferenceSession`, with arrays, `OrtValue`s or bound memory.

A model is named after its file, or after its graph where it came as bytes.
"""

from collections.abc import Callable, Generator, Iterable
from contextvars import Context, copy_context
from functools import partial
from pathlib import PurePath
from typing import Any, Final

from mmtrace.instrumenting import Instrumentation, Model, ModelCall, Patch, never_raises
from mmtrace_instrumentation.shapes import model

_NO_VERSION: Final = (0, (1 << 63) - 1)
_DEVICES: Final = {"CPUExecutionProvider": "cpu", "CUDAExecutionProvider": "cuda", "TensorrtExecutionProvider": "cuda"}


class _Loaded:
    """A session as it was loaded."""

    def __init__(self, session: Any) -> None:
        meta = session.get_modelmeta()
        path = getattr(session, "_model_path", None)
        name = PurePath(path).stem if path else meta.graph_name
        version = "" if meta.version in _NO_VERSION else str(meta.version)
        self.model = Model(name or "onnx", version, framework="onnxruntime")
        self.device = _device_of(session)


def _device_of(session: Any) -> str:
    provider: str = session.get_providers()[0]
    device = _DEVICES.get(provider, provider.removesuffix("ExecutionProvider").lower())
    number = session.get_provider_options().get(provider, {}).get("device_id")
    return device if number is None else f"{device}:{number}"


_loaded: Final = model.Remembered(_Loaded)


def _model_of(session: Any, method: str) -> Model:
    return _loaded(session).model


def _describe(call: ModelCall, session: Any, values: Iterable[Any]) -> None:
    given = [_Tensor(value) if callable(getattr(value, "shape", None)) else value for value in values]
    rows = {model.rows_of(value) for value in given}
    batch_size = rows.pop() if len(rows) == 1 else None
    model.describe(call, given, batch_size=batch_size, device=_loaded(session).device)


class _Tensor:
    """An OrtValue, which tells of itself by methods, in the manner of an array."""

    def __init__(self, value: Any) -> None:
        is_tensor = value.is_tensor()
        self.shape = tuple(value.shape()) if is_tensor else None
        self.dtype = value.data_type().removeprefix("tensor(").removesuffix(")") if is_tensor else None


def _read_feed(call: ModelCall, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    feed = model.argument(args, kwargs, 1, "input_feed")
    _describe(call, session, feed.values())
    call.content(input=feed)


def _read_ort_values(call: ModelCall, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    _describe(call, session, model.argument(args, kwargs, 1, "input_dict_ort_values").values())


def _read_vector(call: ModelCall, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    _describe(call, session, model.argument(args, kwargs, 2, "feeds"))


def _read_binding(call: ModelCall, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A binding does not tell what is bound to it."""
    model.describe(call, (), device=_loaded(session).device)


def _run_async(wrapped: Any, session: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, None, None]:
    call = model.begin(_model_of(session, "run_async"))
    changed = _with_callback(call, args, kwargs)
    if call is None:
        yield changed
        return
    try:
        with call.step():
            never_raises(_read_feed)(call, session, args, kwargs)
            yield changed
    except BaseException as error:
        call.end(error)
        raise


def _with_callback(
    call: ModelCall | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    callback = model.argument(args, kwargs, 2, "callback")
    if not callable(callback):
        return None
    finished = partial(_finished, call, copy_context(), callback)
    return ((*args[:2], finished, *args[3:]), kwargs) if len(args) > 2 else (args, {**kwargs, "callback": finished})


def _finished(
    call: ModelCall | None, context: Context, callback: Callable[..., Any], results: Any, user_data: Any, error: str
) -> Any:
    """Runs in a thread of the runtime, which knows no context: the callback gets the one that the caller had."""
    if call is not None:
        _end(call, results, error)
    return context.run(callback, results, user_data, error)


@never_raises
def _end(call: ModelCall, results: Any, error: str) -> None:
    try:
        call.content(output=results)
    finally:
        call.end(RuntimeError(error) if error else None)


_SESSION: Final = "onnxruntime.capi.onnxruntime_inference_collection:Session"

instrumentation = Instrumentation(
    name="onnxruntime",
    library="onnxruntime",
    versions=">=1.17,<2",
    patches=(
        Patch(f"{_SESSION}.run", model.calling(_model_of, _read_feed)),
        Patch(f"{_SESSION}.run_async", _run_async),
        Patch(f"{_SESSION}.run_with_iobinding", model.calling(_model_of, _read_binding)),
        Patch(f"{_SESSION}.run_with_ort_values", model.calling(_model_of, _read_ort_values)),
        Patch(f"{_SESSION}.run_with_ortvaluevector", model.calling(_model_of, _read_vector)),
    ),
)
