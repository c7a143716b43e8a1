"""What stands on the application's MeterProvider for us and collects when it is asked, never by itself."""

import threading
from collections.abc import Callable
from typing import Any

from opentelemetry.sdk.metrics import Histogram
from opentelemetry.sdk.metrics.export import MetricReader, MetricsData
from opentelemetry.sdk.metrics.view import Aggregation, ExponentialBucketHistogramAggregation

from mmtrace.metrics.temporality import Preference, temporalities
from mmtrace.recording.forks import at_fork


class OnDemandReader(MetricReader):
    """A metric reader without a thread: `read` returns what the provider's instruments hold now.

    Args:
        preference: which instruments report growth instead of totals.
        exponential: whether histograms have base-2 exponential buckets unless a view says otherwise.
        timeout: longest time that observable instruments may take in all, in seconds.
        on_flush: exports what there is within so many seconds, when the provider's `force_flush` asks for it.
    """

    def __init__(
        self,
        preference: Preference = "cumulative",
        *,
        exponential: bool = False,
        timeout: float = 30.0,
        on_flush: Callable[[float], bool] | None = None,
    ) -> None:
        aggregation: dict[type, Aggregation] = (
            {Histogram: ExponentialBucketHistogramAggregation()} if exponential else {}
        )
        super().__init__(preferred_temporality=temporalities(preference), preferred_aggregation=aggregation)
        self._timeout = timeout
        self._on_flush = on_flush
        self._received = threading.local()
        at_fork(self, in_child=OnDemandReader.start_over)

    def start_over(self) -> None:
        """Count from zero in a forked child, whose instruments still hold what the parent counted.

        This reaches into the SDK, which leaves an instrument no way to forget. A lock that another thread of the parent
        held would be held for ever.
        """
        consumer: Any = getattr(self._collect, "__self__", None)
        if consumer is not None:
            consumer._lock = threading.Lock()
            storages = consumer._reader_storages
            fresh = type(storages[self])(
                consumer._sdk_config, self._instrument_class_temporality, self._instrument_class_aggregation
            )
            consumer._reader_storages = {**storages, self: fresh}

    def read(self) -> MetricsData | None:
        """Return the provider's metrics, or None before the reader is given to one and where there are none.

        The callbacks of observable instruments run here; what they raise beyond the SDK's own guard is raised.
        """
        if self._collect is None:
            return None
        self._received.data = None
        self.collect(timeout_millis=self._timeout * 1000)
        data: MetricsData | None = self._received.data
        return data

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        self._received.data = metrics_data

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Export through `on_flush`; collecting here would take growth away from the next `read`."""
        return self._on_flush is None or self._on_flush(timeout_millis / 1000)

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Do nothing: the last export is the pipeline's."""
