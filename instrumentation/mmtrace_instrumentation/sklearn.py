"""scikit-learn: what fitted estimators predict and transform; a pipeline or an ensemble is one call, a fit is none.

An estimator is the model that its class names. `mmtrace.model_call` around it gives it a better name.
"""

import copy
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

from mmtrace.instrumenting import Instrumentation, Model, ModelCall, Patch, never_raises
from mmtrace_instrumentation.shapes import model

_FRAMEWORK: Final = "sklearn"
_CALLS: Final = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform")
_TRAININGS: Final = ("fit", "fit_transform", "fit_predict", "partial_fit")


def _model_of(estimator: Any, method: str) -> Model:
    return _model(type(estimator).__name__, "transform" if method == "transform" else _task_of(estimator))


@lru_cache(maxsize=1000)
def _model(name: str, task: str) -> Model:
    return Model(name, task=task, framework=_FRAMEWORK)


def _task(estimator: Any) -> str:
    from sklearn.base import is_classifier, is_regressor

    for is_one, task in ((is_classifier, "classify"), (is_regressor, "regress")):
        if never_raises(is_one)(estimator):
            return task
    return "infer"


_task_of: Final = model.Remembered(_task)


def _read(call: ModelCall, estimator: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    samples = model.argument(args, kwargs, 0, "X")
    model.describe(call, [samples], batch_size=model.rows_of(samples))
    call.content(input=samples)


def _parallel(wrapped: Any, parallel: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[Any, Any, None]:
    """Let workers do their part of the call; who consumes the iterable may be a thread that knows of no call."""
    tasks = _parts(model.argument(args, kwargs, 0, "iterable"), model.part_of_call(_FRAMEWORK))
    yield ((tasks, *args[1:]), kwargs) if args else (args, {**kwargs, "iterable": tasks})


def _parts(tasks: Iterable[Any], part: Callable[[Any], Any]) -> Iterator[tuple[Any, Any, Any]]:
    for delayed, args, kwargs in tasks:
        if hasattr(delayed, "function"):
            delayed = copy.copy(delayed)  # noqa: PLW2901  # the caller may use its own again
            delayed.function = part(delayed.function)
        yield delayed, args, kwargs


instrumentation = Instrumentation(
    name=_FRAMEWORK,
    library="scikit-learn",
    versions=">=1.5,<2",
    patches=(
        *(
            Patch(f"sklearn.base:BaseEstimator.{method}", model.calling(_model_of, _read), subclasses=True, inner="fn")
            for method in _CALLS
        ),
        *(
            Patch(f"sklearn.base:BaseEstimator.{method}", model.training(_FRAMEWORK), subclasses=True, inner="fn")
            for method in _TRAININGS
        ),
        Patch("sklearn.utils.parallel:Parallel.__call__", _parallel),
    ),
)
