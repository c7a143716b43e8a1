import pytest

from mmtrace.runtime_metrics.measuring import RuntimeMetrics


@pytest.fixture
def measured():
    """What is measured of this process while the test runs: points by the name of the metric."""
    metrics = RuntimeMetrics()
    stop = metrics.start()
    yield lambda: {metric.name: metric.data.data_points for metric in metrics.collect()}
    stop()
