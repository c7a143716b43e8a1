import asyncio
import sqlite3
import threading
import time

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.trace import SpanKind

from mmtrace.server.storage.batch import batch_of_logs, batch_of_metrics, batch_of_traces
from mmtrace.server.store import Store, StoreError, TraceQuery

MINUTE = 60_000_000_000


def test_a_reader_sees_at_once_what_was_accepted(store, kit):
    for _ in range(50):
        span = kit.span()
        kit.put(store, span)
        assert store.trace(kit.number(span)).root.name == "work"


def test_a_trace_comes_back_whole_and_as_it_was_sent(store, kit):
    root = kit.span("root", duration=0.5, region="eu", size=8, ratio=0.5, sure=True, raw=b"\x00\xff")
    child = kit.span("child", trace_id=root.trace_id, parent=root.span_id, error=True)
    kit.put(store, root, service="gateway", host__name="a")
    kit.put(store, child, service="reader")
    trace = store.trace(kit.number(root))
    assert [span.name for span in trace.spans] == ["root", "child"]
    assert trace.services == ("gateway", "reader")
    assert dict(trace.root.attributes) == {"region": "eu", "size": 8, "ratio": 0.5, "sure": True, "raw": b"\x00\xff"}
    assert trace.root.resource.attributes == {"service.name": "gateway", "host.name": "a"}
    assert trace.spans[1].parent_span_id == trace.root.span_id
    assert trace.spans[1].is_error


def test_a_span_that_comes_twice_is_kept_once(store, kit):
    span = kit.span()
    kit.put(store, span)
    kit.put(store, span, span)
    assert store.stats().spans == 1
    assert store.search(TraceQuery())[0].spans == 1


def test_an_unknown_trace_is_none(store):
    assert store.trace(12345) is None
    assert store.trace(0) is None
    assert store.trace(1 << 200) is None


def test_a_summary_tells_what_a_list_shows(store, kit):
    root = kit.span("pipeline invoice", duration=1.0)
    start = root.start_time_unix_nano
    call = {"trace_id": root.trace_id, "parent": root.span_id, "mmtrace__model__name": "ocr"}
    slow = kit.span("ocr", **call, start=start, duration=0.4, mmtrace__queue__duration=0.1)
    failed = kit.span(
        "rerank bge", **(call | {"mmtrace__model__name": "bge"}), start=start + 5, duration=0.0, error=True
    )
    kit.put(store, root, service="gateway")
    kit.put(store, slow, failed, service="models")
    (row,) = store.search(TraceQuery())
    assert (row.root_name, row.root_service) == ("pipeline invoice", "gateway")
    assert (row.start_time, row.duration) == (start, 1.0)
    assert (row.services, row.models) == (("gateway", "models"), ("ocr", "bge"))
    assert (row.spans, row.errors) == (3, 1)
    assert row.queue == pytest.approx(0.1, abs=1e-6)
    assert row.compute == pytest.approx(0.3, abs=1e-6)


def test_a_summary_follows_the_spans_that_come_later(store, kit):
    child = kit.span("child", parent=b"12345678")
    kit.put(store, child)
    assert store.search(TraceQuery())[0].root_name == "child"
    kit.put(store, kit.span("root", trace_id=child.trace_id, duration=9.0))
    (row,) = store.search(TraceQuery())
    assert (row.root_name, row.spans, row.duration) == ("root", 2, pytest.approx(9.0, abs=0.1))


@pytest.fixture
def three(store, kit):
    """Three traces, a minute apart, the oldest first."""
    now = time.time_ns()
    fast = kit.span("GET /a", start=now - 2 * MINUTE, duration=0.1, user="ann", tier=3)
    slow = kit.span("GET /b", start=now - MINUTE, duration=3.0, user="bob", score=0.25, sure=True)
    slow.attributes.append(kit.key_value("mmtrace.model.name", "ocr"))
    wrong = kit.span("GET /a", start=now, duration=0.2, error=True, tags="100% 'sure'; DROP TABLE spans")
    kit.put(store, fast, service="gateway", region="eu-1")
    kit.put(store, slow, service="gateway")
    kit.put(store, wrong, service="billing")
    return {"fast": kit.number(fast), "slow": kit.number(slow), "wrong": kit.number(wrong), "now": now}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["wrong", "slow", "fast"]),
        ({"limit": 2}, ["wrong", "slow"]),
        ({"service": "gateway"}, ["slow", "fast"]),
        ({"service": "gateway", "operation": "GET /a"}, ["fast"]),
        ({"operation": "GET /a"}, ["wrong", "fast"]),
        ({"service": "nobody"}, []),
        ({"model": "ocr"}, ["slow"]),
        ({"model": "ocr", "service": "billing"}, []),
        ({"min_duration": 0.2}, ["wrong", "slow"]),
        ({"min_duration": 0.1, "max_duration": 0.2}, ["wrong", "fast"]),
        ({"errors_only": True}, ["wrong"]),
        ({"text": "user=ann"}, ["fast"]),
        ({"text": " user = ann "}, ["fast"]),
        ({"text": "user=an"}, []),
        ({"text": "tier=3"}, ["fast"]),
        ({"text": "tier=99999999999999999999"}, []),
        ({"text": "score=0.25"}, ["slow"]),
        ({"text": "score=0.250"}, ["slow"]),
        ({"text": "sure=true"}, ["slow"]),
        ({"text": "sure=false"}, []),
        ({"text": "user=\ud800"}, []),
        ({"text": "region=eu-1"}, ["fast"]),
        ({"text": "service.name=gateway"}, ["slow", "fast"]),
        ({"text": "BOB"}, ["slow"]),
        ({"text": "get /b"}, ["slow"]),
        ({"text": "100% 'sure'; DROP TABLE spans"}, ["wrong"]),
        ({"text": "%"}, ["wrong"]),
        ({"text": "tags=100% 'sure'; DROP TABLE spans"}, ["wrong"]),
        ({"attributes": (("user", "ann"), ("tier", "3"))}, ["fast"]),
        ({"attributes": (("user", "ann"), ("tier", "4"))}, []),
        ({"service": "x' OR 1=1 --"}, []),
    ],
)
def test_a_search_finds(store, three, query, found):
    assert [row.trace_id for row in store.search(TraceQuery(**query))] == [three[name] for name in found]


def test_a_search_keeps_to_its_time(store, three):
    since = TraceQuery(start_ns=three["now"] - MINUTE)
    assert [row.trace_id for row in store.search(since)] == [three["wrong"], three["slow"]]
    until = TraceQuery(start_ns=-5, end_ns=three["now"] - MINUTE)
    assert [row.trace_id for row in store.search(until)] == [three["slow"], three["fast"]]
    assert len(store.search(TraceQuery(start_ns=0, end_ns=1 << 80))) == 3


def test_a_trace_id_is_a_text_to_search_for(store, three):
    (row,) = store.search(TraceQuery(text=f"{three['slow']:032X}"))
    assert row.trace_id == three["slow"]


def test_names_are_listed_once_and_sorted(store, three, kit):
    kit.put(store, kit.span("GET /a", mmtrace__model__name="bge"), service="gateway")
    assert store.services() == ["billing", "gateway"]
    assert store.operations("gateway") == [("GET /a", SpanKind.INTERNAL), ("GET /b", SpanKind.INTERNAL)]
    assert store.models() == ["bge", "ocr"]


def test_a_model_named_by_the_genai_conventions_is_a_model(store, kit):
    kit.put(store, kit.span("chat", gen_ai__request__model="llama"))
    assert store.models() == ["llama"]


def test_spans_and_traces_of_a_time_come_newest_first(store, three):
    ends = (three["now"] - 2 * MINUTE, three["now"])
    assert [span.trace_id for span in store.spans(*ends, limit=2)] == [three["wrong"], three["slow"]]
    assert [span.trace_id for span in store.spans(*ends, models_only=True, limit=9)] == [three["slow"]]
    assert [trace.trace_id for trace in store.traces(*ends, limit=9)] == [three["wrong"], three["slow"], three["fast"]]
    assert list(store.spans(0, 1, limit=9)) == []


def test_spans_by_the_thousand_come_in_chunks(store, kit):
    kit.put(store, *(kit.span(f"span {number % 7}", start=number) for number in range(1500)))
    assert [span.start_time for span in store.spans(0, 2000, limit=1200)] == list(range(1499, 299, -1))


def test_both_ends_of_a_link_know_each_other(store, kit):
    requests = [kit.span(f"request {number}", duration=0.5) for number in range(3)]
    batch = kit.span("batch ocr", links=requests)
    kit.put(store, *requests)
    kit.put(store, batch, service="models")
    (link,) = store.linked_from(kit.number(requests[1]))
    assert (link.source.trace_id, link.source.name, link.source.service) == (kit.number(batch), "batch ocr", "models")
    assert link.target_span_id == int.from_bytes(requests[1].span_id, "big")
    ends = [(kit.number(request), int.from_bytes(request.span_id, "big")) for request in requests]
    found = store.link_ends([*ends, (1 << 100, 7)])
    assert [found[end].name for end in ends] == ["request 0", "request 1", "request 2"]
    assert len(found) == 3
    assert found[ends[0]].duration == 0.5


def test_a_link_within_a_trace_comes_from_no_other(store, kit):
    first = kit.span()
    kit.put(store, first, kit.span(trace_id=first.trace_id, links=[first]))
    assert store.linked_from(kit.number(first)) == []


def test_logs_are_kept_with_their_trace(store, kit):
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.append(kit.key_value("service.name", "reader"))
    for time_, trace_id, text in ((2, b"\1" * 16, "later"), (1, b"\1" * 16, "first"), (1, b"\2" * 16, "other")):
        record = group.scope_logs.add().log_records.add(time_unix_nano=time_, trace_id=trace_id, severity_text="INFO")
        record.body.string_value = text
    assert store.add(batch_of_logs(request, 1))
    found = store.logs(int.from_bytes(b"\1" * 16, "big"))
    assert [(log.time, log.body, log.service, log.severity) for log in found] == [
        (1, "first", "reader", "INFO"),
        (2, "later", "reader", "INFO"),
    ]
    assert store.stats().logs == 3


def test_metrics_are_kept_as_they_came(store, kit):
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.append(kit.key_value("service.name", "reader"))
    metrics = group.scope_metrics.add().metrics
    for name in ("calls", "seconds"):
        metrics.add(name=name).gauge.data_points.add(as_int=5)
    before = time.time_ns()
    assert store.add(batch_of_metrics(request, 1))
    (metric,) = store.metrics(before, 1 << 62, name="calls", limit=5)
    assert (metric.name, metric.service, metric.data) == ("calls", "reader", metrics[0].SerializeToString())
    assert len(store.metrics(before, 1 << 62, limit=5)) == 2
    assert store.stats().metrics == 2


def test_times_and_names_beyond_what_a_database_takes_are_kept(store, kit):
    span = kit.span("n" * 100_000, start=(1 << 64) - 2, duration=0)
    kit.put(store, span, service="s" * 100_000)
    trace = store.trace(kit.number(span))
    assert trace.root.start_time == (1 << 64) - 2
    assert len(trace.root.name) == len(trace.root.service) == 100_000
    assert len(store.search(TraceQuery(service="s" * 100_000, operation="n" * 100_000))) == 1


def test_a_file_keeps_everything_for_the_next_time(tmp_path, kit):
    file = tmp_path / "traces.db"
    span = kit.span()
    with Store(file) as store:
        kit.put(store, span)
    with Store(file) as store:
        kit.put(store, span)
        assert store.trace(kit.number(span)).root.name == "work"
        assert store.stats().spans == 1
    assert [path.name for path in tmp_path.iterdir()] == ["traces.db"]


def test_a_temporary_file_is_removed_at_the_end(tmp_path, monkeypatch, kit):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Store() as store:
        kit.put(store, kit.span())
        assert store.stats().spans == 1
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


def _no_database(file):
    file.write_bytes(b"this is no database, only text\n" * 400)


def _another_database(file):
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE cookies (id)")
    connection.close()


def _newer_store(file):
    Store(file).close()
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def _damaged_store(file):
    Store(file).close()
    content = bytearray(file.read_bytes())
    content[8192 * 2 : 8192 * 9] = b"\xa5" * (8192 * 7)
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_no_database, "damaged, or is no store"),
        (_another_database, "no store of mmtrace"),
        (_newer_store, "another version"),
        (_damaged_store, "damaged"),
    ],
)
def test_a_file_that_is_no_store_is_named_and_left_alone(tmp_path, make, message):
    file = tmp_path / "store.db"
    make(file)
    before = file.read_bytes()
    with pytest.raises(StoreError, match=message) as caught:
        Store(file)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == before


def test_a_file_is_for_one_store_at_a_time(tmp_path):
    file = tmp_path / "traces.db"
    with Store(file), pytest.raises(StoreError, match="in use by another mmtrace serve"):
        Store(file)
    Store(file).close()


def test_what_was_sent_under_an_old_name_is_found_under_the_new_one(store, kit):
    kit.put(store, kit.span(http__method="GET"))
    assert len(store.search(TraceQuery(text="http.request.method=GET"))) == 1
    assert len(store.search(TraceQuery(text="http.method=GET"))) == 1
    assert store.search(TraceQuery(text="url.path=GET")) == []


def test_a_file_that_cannot_be_opened_is_named(tmp_path):
    with pytest.raises(StoreError, match="cannot open the store"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="cannot open the store"):
        Store(tmp_path / "no" / "such" / "folder.db")


def test_closing_writes_what_waits(tmp_path, kit):
    file = tmp_path / "traces.db"
    with Store(file) as store:
        for _ in range(100):
            kit.put(store, *(kit.span() for _ in range(20)))
    with Store(file) as store:
        assert store.stats().spans == 2000


def test_a_closed_store_takes_nothing_and_answers_nothing(kit):
    store = Store()
    store.close()
    store.close()
    request = kit.request(kit.span())
    assert not store.add(batch_of_traces(request, 1))
    with pytest.raises(StoreError, match="closed"):
        store.services()


def test_many_threads_may_read_and_add_at_a_time(store, kit):
    wrong = []

    def work(number):
        try:
            for _ in range(20):
                span = kit.span(f"thread {number}")
                kit.put(store, span)
                if store.trace(kit.number(span)).root.name != f"thread {number}":
                    wrong.append(number)
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert store.stats().spans == 120


async def test_subscribers_hear_of_traces_and_of_the_end(kit):
    heard = []
    with Store() as store:
        arrivals = store.subscribe(pause=0.0)
        pending = asyncio.ensure_future(arrivals.__anext__())
        await asyncio.sleep(0.05)
        span = kit.span()
        kit.put(store, span)
        heard.extend(await asyncio.wait_for(pending, 5))
        store.end_subscriptions()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(arrivals.__anext__(), 5)
    assert heard == [kit.number(span)]


async def test_arrivals_are_gathered_while_a_subscriber_pauses(store, kit):
    async def listen():
        return [ids async for ids in store.subscribe(pause=0.2)]

    listening = asyncio.ensure_future(listen())
    await asyncio.sleep(0.05)
    spans = [kit.span() for _ in range(40)]
    for span in spans:
        kit.put(store, span)
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.3)
    store.end_subscriptions()
    heard = await asyncio.wait_for(listening, 5)
    assert frozenset().union(*heard) == {kit.number(span) for span in spans}
    assert len(heard) < 10
