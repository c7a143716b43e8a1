import os
import time

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from mmtrace.server.storage.batch import batch_of_logs, batch_of_traces
from mmtrace.server.store import Store, TraceQuery

MEGABYTE = 1 << 20


def fill(store, kit, traces, spans=4, size=2000):
    """Put traces of some 8 KB each; return their numbers in order."""
    numbers = []
    for _ in range(traces):
        root = kit.span("root", filler=os.urandom(size // 2).hex())
        children = [kit.span("child", trace_id=root.trace_id, filler="x" * size) for _ in range(spans - 1)]
        kit.put(store, root, *children, service=f"service {len(numbers) // 100}")
        numbers.append(kit.number(root))
    return numbers


def test_the_file_stays_within_its_bound_and_the_oldest_traces_go_whole(tmp_path, kit):
    bound = 4 * MEGABYTE
    with Store(tmp_path / "store.db", max_bytes=bound) as store:
        numbers = fill(store, kit, 1000)
        stats = store.stats()
        assert stats.bytes <= bound
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= bound
        assert stats.dropped_traces > 400
        assert stats.traces + stats.dropped_traces == 1000
        assert stats.spans + stats.dropped_spans == 4000
        assert stats.spans == 4 * stats.traces
        kept = [row.trace_id for row in store.search(TraceQuery(limit=2000))]
        assert kept == numbers[stats.dropped_traces :][::-1]
        assert all(len(store.trace(number).spans) == 4 for number in kept[:20])
        assert store.trace(numbers[0]) is None


def test_names_that_nothing_uses_any_more_are_forgotten(kit):
    with Store(max_bytes=4 * MEGABYTE) as store:
        fill(store, kit, 1000)
        assert "service 9" in store.services()
        assert "service 0" not in store.services()


def test_links_of_removed_traces_are_removed(kit):
    with Store(max_bytes=2 * MEGABYTE) as store:
        target = kit.span()
        kit.put(store, kit.span("early", links=[target]))
        fill(store, kit, 500)
        kit.put(store, kit.span("late", links=[target]))
        assert [link.source.name for link in store.linked_from(kit.number(target))] == ["late"]


def test_a_trace_larger_than_the_store_does_not_break_it(kit):
    with Store(max_bytes=MEGABYTE) as store:
        kit.put(store, kit.span(filler=os.urandom(2 * MEGABYTE).hex()))
        last = kit.span("last")
        kit.put(store, last)
        assert store.trace(kit.number(last))
        assert store.stats().bytes <= MEGABYTE
        assert store.stats().dropped_traces == 1


def test_a_smaller_bound_shrinks_a_file_that_exists(tmp_path, kit):
    file = tmp_path / "store.db"
    with Store(file) as store:
        numbers = fill(store, kit, 1000)
    assert file.stat().st_size > 6 * MEGABYTE
    with Store(file, max_bytes=2 * MEGABYTE) as store:
        assert store.stats().bytes <= 2 * MEGABYTE
        assert store.trace(numbers[-1])
    assert file.stat().st_size <= 2 * MEGABYTE


def test_logs_do_not_drive_out_traces(kit):
    with Store(max_bytes=4 * MEGABYTE) as store:
        span = kit.span()
        kit.put(store, span)
        for _ in range(200):
            request = ExportLogsServiceRequest()
            records = request.resource_logs.add().scope_logs.add().log_records
            for _ in range(50):
                records.add(time_unix_nano=1).body.string_value = os.urandom(500).hex()
            while not store.add(batch_of_logs(request, request.ByteSize())):
                time.sleep(0.01)
        stats = store.stats()
        assert stats.bytes <= 4 * MEGABYTE
        assert 0 < stats.logs < 5000
        assert store.trace(kit.number(span))


@pytest.fixture
def full_disk(tmp_path, kit):
    """A store on which no page can be added, and what ends that."""
    with Store(tmp_path / "store.db") as store:
        kit.put(store, kit.span())
        connection = store._writer.bound._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        yield store, lambda: connection.execute("PRAGMA max_page_count = 1000000")


def test_a_full_disk_refuses_what_is_too_much_and_loses_nothing(full_disk, kit):
    store, free = full_disk
    accepted = 1
    for _ in range(200):
        request = kit.request(kit.span(filler="x" * MEGABYTE))
        accepted += store.add(batch_of_traces(request, request.ByteSize()))
    assert 1 < accepted < 60
    began = time.monotonic()
    assert store.stats().spans == 1
    assert time.monotonic() - began < 1
    assert "full" in store.trouble
    free()
    while store.stats().waiting:
        time.sleep(0.05)
    assert store.stats().spans == accepted
    assert store.stats().failed_spans == 0
    kit.put(store, kit.span())
    assert store.stats().spans == accepted + 1
    assert store.trouble == ""


def test_what_could_not_be_written_until_the_end_is_counted(full_disk, kit, caplog):
    store, _ = full_disk
    kit.put(store, *(kit.span(filler="x" * MEGABYTE) for _ in range(3)))
    store.close()
    assert store._writer.failed_spans == 3
    assert "3 spans" in caplog.text
