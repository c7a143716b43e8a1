"""What is said of many processes: what adds up is added up, what does not stays apart."""

from opentelemetry.sdk.metrics.export import MetricsData

from mmtrace import attributes as names
from mmtrace.metrics.shared.sums import OfProcess, Sums, rendered

OVERFLOW = (names.METRIC_OVERFLOW, True)


def living(*snapshots):
    for data in snapshots:
        pid = data.resource_metrics[0].resource.attributes["process.pid"]
        yield OfProcess(data, {"process.pid": pid})


def shown(sums, *snapshots, instance="all", start=5, now=9):
    return rendered(sums.with_living(living(*snapshots)), instance=instance, start=start, now=now)


def test_counters_and_histograms_are_summed_over_the_living_and_the_dead(measured, said):
    sums = Sums(MetricsData([]))
    sums.bury(measured.by(1, measured.counter("c", 1), measured.histogram("h", (1.0,), (1, 2))))
    sums.bury(measured.by(2, measured.counter("c", 10)))
    found = shown(sums, measured.by(3, measured.counter("c", 100), measured.histogram("h", (1.0,), (3, 0))))
    assert said(found) == {("c",): 111, ("h",): (4, 2)}


def test_what_goes_up_and_down_is_summed_over_the_living(measured, said):
    sums = Sums(MetricsData([]))
    sums.bury(measured.by(1, measured.updown("active", 5)))
    found = shown(sums, measured.by(2, measured.updown("active", 1)), measured.by(3, measured.updown("active", 2)))
    assert said(found) == {("active",): 3}


def test_gauges_and_what_is_of_a_process_stay_apart(measured, said):
    sums = Sums(MetricsData([]))
    sums.bury(measured.by(1, measured.gauge("load", 1), measured.counter("process.cpu.time", 9)))
    two = measured.by(2, measured.gauge("load", 2, core=1), measured.updown("process.memory.usage", 7))
    three = measured.by(3, measured.gauge("load", 3, core=1), measured.counter("process.cpu.time", 8))
    assert said(shown(sums, two, three)) == {
        ("load", ("core", 1), ("process.pid", 2)): 2,
        ("load", ("core", 1), ("process.pid", 3)): 3,
        ("process.memory.usage", ("process.pid", 2)): 7,
        ("process.cpu.time", ("process.pid", 3)): 8,
    }


def test_hardware_that_all_processes_see_is_not_summed(measured, said):
    two, three = (measured.by(pid, measured.updown("hw.gpu.memory.usage", 20)) for pid in (2, 3))
    assert said(shown(Sums(MetricsData([])), two, three)) == {
        ("hw.gpu.memory.usage", ("process.pid", 2)): 20,
        ("hw.gpu.memory.usage", ("process.pid", 3)): 20,
    }


def test_all_processes_are_one_instance_of_the_service(measured):
    found = shown(
        Sums(MetricsData([])),
        measured.by(
            1, measured.counter("c", 1), **{"host.name": "h", "process.command": "x", "process.runtime.name": "r"}
        ),
        measured.by(
            2, measured.counter("c", 1), **{"host.name": "h", "process.command": "y", "process.runtime.name": "r"}
        ),
    )
    (part,) = found.resource_metrics
    assert dict(part.resource.attributes) == {
        "service.name": "shop", "host.name": "h", "process.runtime.name": "r", "service.instance.id": "all",
    }  # fmt: skip


def test_all_sums_began_when_the_group_did_and_end_now_whatever_the_clocks_of_processes_say(measured):
    found = shown(Sums(MetricsData([])), measured.by(1, measured.counter("c", 1)), start=50, now=40)
    (point,) = found.resource_metrics[0].scope_metrics[0].metrics[0].data.data_points
    assert (point.start_time_unix_nano, point.time_unix_nano) == (50, 50)


def test_a_counter_and_a_gauge_of_one_name_are_two_metrics(measured, said):
    found = shown(
        Sums(MetricsData([])), measured.by(1, measured.counter("x", 1)), measured.by(2, measured.gauge("x", 2))
    )
    assert said(found) == {("x",): 1, ("x", ("process.pid", 2)): 2}


def test_beyond_the_limit_the_same_label_sets_overflow_for_ever(measured, said):
    """A set that was shown once keeps its place, whoever dies and in whatever order snapshots are read."""
    first = measured.by(1, measured.counter("c", 1, model="a"), measured.counter("c", 2, model="b"))
    second = measured.by(2, measured.counter("c", 10, model="c"), measured.counter("c", 20, model="a"))
    sums = Sums(MetricsData([]), limit=2)
    expected = {("c", ("model", "a")): 21, ("c", ("model", "b")): 2, ("c", OVERFLOW): 10}
    assert said(shown(sums, first, second)) == expected
    again = Sums(sums.totals(), limit=2)
    assert said(shown(again, second, first)) == expected
    again.bury(second)
    assert said(shown(Sums(again.totals(), limit=2), first)) == expected


def test_totals_change_only_where_somebody_died_or_a_series_is_new(measured):
    sums = Sums(MetricsData([]))
    shown(sums, measured.by(1, measured.counter("c", 1)))
    assert sums.changed
    again = Sums(sums.totals())
    shown(again, measured.by(1, measured.counter("c", 2)))
    assert not again.changed
