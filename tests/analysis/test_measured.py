import pytest

from mmtrace import attributes as names
from mmtrace.analysis import Point, model_figures, with_metrics
from mmtrace.analysis.series import Sum, growth

EPOCH = 1_800_000_000_000_000_000
SECOND = 10**9
INFINITE = float("inf")


def point(at, counts, *, started=0, cumulative=True, service="shop", **labels):
    """A histogram of durations with bounds 0.1, 1 and infinity, `at` seconds after the beginning."""
    return Point(
        service=service,
        labels={"model": "llm", "task": "generate", "outcome": "ok", **labels},
        started=EPOCH + started * SECOND,
        time=EPOCH + at * SECOND,
        count=sum(counts),
        total=0.05 * counts[0] + 0.5 * counts[1] + 2 * counts[2],
        buckets=dict(zip((0.1, 1.0, INFINITE), counts, strict=True)),
        cumulative=cumulative,
    )


def grown(points, start, end):
    found = Sum()
    for one in growth(points, EPOCH + start * SECOND, EPOCH + end * SECOND):
        found.add(one)
    return found


def test_a_total_grows_by_the_difference_of_its_points():
    points = [point(10, (1, 0, 0)), point(20, (4, 1, 0)), point(30, (6, 1, 1))]
    assert grown(points, 10, 30).count == 7
    assert grown(points, 10, 20).buckets == {0.1: 3, 1.0: 1, INFINITE: 0}


def test_a_total_that_began_earlier_only_counts_from_its_first_known_point():
    points = [point(20, (100, 0, 0)), point(30, (103, 0, 0))]
    assert grown(points, 10, 30).count == 3
    assert grown(points, 0, 30).count == 103


def test_points_of_growth_are_added_as_they_are():
    points = [point(10, (1, 0, 0), cumulative=False), point(20, (4, 1, 0), cumulative=False, started=10)]
    assert grown(points, 5, 30).count == 6


def test_processes_of_one_service_do_not_disturb_each_other():
    points = [
        point(10, (5, 0, 0)),
        point(11, (50, 0, 0), started=1),
        point(20, (6, 0, 0)),
        point(21, (60, 0, 0), started=1),
    ]
    assert grown(points, 0, 30).count == 66


def test_percentiles_are_interpolated_inside_their_bucket_and_end_at_the_last_bound():
    found = grown([point(10, (50, 50, 0))], 0, 30)
    assert found.percentile(0.5) == pytest.approx(0.1)
    assert found.percentile(0.75) == pytest.approx(0.55)
    assert grown([point(10, (0, 0, 3))], 0, 30).percentile(0.5) == 1.0
    assert Sum().percentile(0.5) is None


def figures_of(story, calls):
    told = story()
    root = told.span("ask", 0, 10_000)
    for number in range(calls):
        told.call("llm", number * 10, number * 10 + 5, parent=root)
    return model_figures([told.trace], EPOCH, EPOCH + 10 * SECOND)


def both(story, calls, **points):
    named = {getattr(names, metric).name: found for metric, found in points.items()}
    (llm,) = with_metrics(figures_of(story, calls), named, EPOCH, EPOCH + 10 * SECOND, parts=10)
    return llm


def test_metrics_that_know_more_calls_than_spans_tell_the_figures(story):
    failed = point(9, (0, 0, 1), outcome="error", **{"error.type": "Overflow"})
    cancelled = point(9, (5, 0, 0), outcome="cancelled")
    llm = both(
        story, 3,
        CALL_DURATION=[point(9, (2, 1, 0)), failed, cancelled],
        CALL_QUEUE_DURATION=[point(9, (9, 0, 0))],
        MODEL_TOKENS=[
            Point("shop", {"model": "llm", "direction": direction}, EPOCH, EPOCH, 0, value)
            for direction, value in (("input", 900.0), ("output", 70.0))
        ],
    )  # fmt: skip
    assert (llm.source, llm.calls, llm.rate) == ("metrics", 9, 0.9)
    assert (llm.errors, llm.error_ratio) == (1, 0.25)
    assert llm.queue_p95 == pytest.approx(0.095)
    assert llm.tokens_rate == 7.0
    assert llm.history == (0, 0, 0, 0, 0, 0, 0, 0, 0, 9)
    assert llm.share == pytest.approx(0.0015)


def test_spans_tell_the_figures_where_they_know_all_calls(story):
    llm = both(story, 3, CALL_DURATION=[point(9, (2, 1, 0))])
    assert (llm.source, llm.calls) == ("spans", 3)


def test_a_model_without_any_span_is_known_by_its_metrics():
    (llm,) = with_metrics([], {names.CALL_DURATION.name: [point(9, (2, 0, 0))]}, EPOCH, EPOCH + 10 * SECOND)
    assert (llm.model, llm.services, llm.tasks, llm.calls, llm.share) == ("llm", ("shop",), ("generate",), 2, 0.0)
