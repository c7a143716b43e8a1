"""What requests of every protocol share: a call that is a block, a metric of its duration, and doing nothing at all."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from types import TracebackType
from typing import Any

from opentelemetry.metrics import Histogram, get_meter
from typing_extensions import Self

import mmtrace
from mmtrace import attributes as names
from mmtrace.instrumenting import Call


@cache
def histogram(metric: names.Metric) -> Histogram:
    """Return the instrument of `metric`, made once; it measures from the moment that a meter provider is set."""
    meter = get_meter(names.SCOPE, mmtrace.__version__, schema_url=names.SCHEMA_URL)
    return meter.create_histogram(
        metric.name, metric.unit, metric.description, explicit_bucket_boundaries_advisory=metric.buckets
    )


class Exchange(Call):
    """A request and its answer. As a block it is one step, and ends as the block does."""

    __slots__ = ("_step",)

    def __enter__(self) -> Self:
        self._step = self.step()
        self._step.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._step.__exit__(kind, error, traceback)
        self.end(error)

    @contextmanager
    def starting(self) -> Iterator[Self]:
        """Return a block that starts something which goes on after it: it ends the exchange only if it raises."""
        try:
            with self.step():
                yield self
        except BaseException as error:
            self.end(error)
            raise

    def measure(self, metric: names.Metric, elapsed: int, labels: Mapping[str, Any], error_type: str | None) -> None:
        """Record the duration, in nanoseconds."""
        known = {key: value for key, value in labels.items() if key in metric.labels}
        if error_type:
            known[names.ERROR_TYPE] = error_type
        histogram(metric).record(elapsed / 1e9, known, self.context)


class Untraced:
    """Stands for an exchange that is not to be recorded."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None
