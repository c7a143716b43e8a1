"""One histogram that any thread adds to, also from inside a garbage collection."""

from collections.abc import Mapping

from mmtrace.attributes import Metric
from mmtrace.metrics.aggregator import Reading, total
from mmtrace.metrics.cells import Distribution, Line
from mmtrace.metrics.shards import Sharded


class Histogram(Sharded[Distribution]):
    """One time series: a cell for each thread, as in `metrics`, without a lock."""

    __slots__ = ("_cells", "_line")

    def __init__(self, metric: Metric, attributes: Mapping[str, str | bool]) -> None:
        self._line = Line(metric, attributes, metric.buckets)
        super().__init__()

    def start_over(self) -> None:
        """Forget every measurement: the state of a new process."""
        super().start_over()
        self._line = Line(self._line.metric, self._line.attributes, self._line.bounds)
        self._cells: list[Distribution] = []

    def _fresh(self) -> Distribution:
        cell = Distribution(self._line)
        self._cells.append(cell)
        return cell

    def add(self, value: float, trace_id: int = 0, span_id: int = 0) -> bool:
        """Count `value`; return whether the sampled span of these ids, if any, became an exemplar."""
        try:
            cell: Distribution = self._local.shard
        except AttributeError:
            cell = self._lease()
        return cell.add(value, trace_id, span_id)

    def reading(self) -> Reading | None:
        """Return the sum over all threads, or None where nothing was measured."""
        cells = self._cells.copy()
        return total(self._line, cells) if cells else None
