import threading

from forked import in_child
from mmtrace import attributes as names
from mmtrace.metrics import ModelMetrics
from mmtrace.metrics.snapshot import Snapshots
from mmtrace.spans import Resource


def test_a_child_starts_at_zero_with_a_start_time_of_its_own(total):
    metrics = ModelMetrics()
    series = metrics.series("a")
    series.begin()
    series.end("ok", "", 1.0)
    series.begin()
    metrics.pipeline("p", "ok", "", 1.0)
    start = metrics.start_time

    def child():
        assert metrics.read() == []
        assert metrics.start_time > start
        series.begin()
        series.end("ok", "", 1.0, trace_id=1, span_id=1)
        metrics.pipeline("p", "ok", "", 1.0)
        assert total(metrics, names.CALL_DURATION) == total(metrics, names.PIPELINE_DURATION) == 1
        assert total(metrics, names.CALLS_ACTIVE) == 0

    in_child(child)
    assert total(metrics, names.CALL_DURATION) == total(metrics, names.PIPELINE_DURATION) == 1
    assert total(metrics, names.CALLS_ACTIVE) == 1


def test_label_sets_of_the_parent_do_not_fill_the_child(counted):
    metrics = ModelMetrics(limit=2)
    for error in range(4):
        metrics.pipeline("p", "error", f"E{error}", 1.0)

    def child():
        metrics.pipeline("p", "ok", "", 1.0)
        assert list(counted(metrics).values()) == [(1, 1.0)]
        assert (names.METRIC_OVERFLOW, True) not in next(iter(counted(metrics)))[1]

    in_child(child)


def test_threads_of_the_parent_leave_nothing_in_the_child(total):
    metrics = ModelMetrics()
    series = metrics.series("a")
    stop, started = threading.Event(), threading.Event()

    def work():
        while not stop.is_set():
            series.begin()
            series.end("ok", "", 0.1)
            started.set()

    thread = threading.Thread(target=work)
    thread.start()
    started.wait()

    def child():
        for _ in range(10):
            series.begin()
            series.end("ok", "", 1.0)
        assert total(metrics, names.CALL_DURATION) == 10

    for _ in range(5):
        in_child(child)
    stop.set()
    thread.join()


def test_a_child_can_take_snapshots_although_the_parent_was_taking_one():
    metrics = ModelMetrics()
    reached, go_on = threading.Event(), threading.Event()

    def slow():
        reached.set()
        go_on.wait(10)
        return []

    snapshots = Snapshots(metrics, resource=Resource, extra=[slow], preference="delta")
    thread = threading.Thread(target=snapshots.collect)
    thread.start()
    reached.wait(10)

    def child():
        go_on.set()
        metrics.pipeline("p", "ok", "", 1.0)
        (resource,) = snapshots.collect().resource_metrics
        assert [metric.name for scope in resource.scope_metrics for metric in scope.metrics] == [
            names.PIPELINE_DURATION.name
        ]

    in_child(child)
    go_on.set()
    thread.join()
