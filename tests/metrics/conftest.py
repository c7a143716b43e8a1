import pytest
from opentelemetry.sdk.trace import TracerProvider

from mmtrace import attributes as names


class Clock:
    """Monotonic seconds that a test sets."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def counted():
    """What a ModelMetrics counted: (metric name, labels) to a number, or to (calls, sum) of a histogram."""

    def read(metrics):
        found = {}
        for reading in metrics.read():
            key = (reading.line.metric.name, tuple(sorted(reading.line.attributes.items())))
            assert key not in found, f"{key} is in two time series"
            found[key] = (sum(reading.counts), reading.sum) if reading.counts else reading.value
        return found

    return read


@pytest.fixture
def total(counted):
    """The sum of one metric over all label sets: a number, or calls of a histogram."""

    def of(metrics, metric: names.Metric):
        values = [value for (name, _), value in counted(metrics).items() if name == metric.name]
        return sum(value[0] if isinstance(value, tuple) else value for value in values)

    return of


@pytest.fixture
def stock_span():
    """Start a span of the stock SDK that is sampled and current."""
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    return lambda: tracer.start_as_current_span("span")
