import asyncio
import json
import pickle
import time
import uuid

import pytest
import redis
import redis.asyncio
from opentelemetry.trace import SpanKind

import mmtrace
from mmtrace.instrumenting import Options, suppress
from mmtrace.testing import InstrumentationCases, instrumented
from mmtrace_instrumentation.redis import instrumentation
from whereabouts import ids, in_a_thread, where

pytestmark = pytest.mark.usefixtures("w3c")

OURS = {"traceparent", "mmtrace-arrival"}


@pytest.fixture
def plain(redis_server):
    """A client that no test patches: `execute_command` shows what is really there."""
    with redis.Redis.from_url(redis_server.url, decode_responses=True, protocol=2) as client:
        yield client


@pytest.fixture
def stream(plain):
    name = f"orders-{uuid.uuid4().hex[:8]}"
    plain.execute_command("XGROUP", "CREATE", name, "readers", "0", "MKSTREAM")
    return name


@pytest.fixture(
    params=[
        {"protocol": 2, "decode_responses": True},
        {"protocol": 2},
        {"protocol": 3, "decode_responses": True},
        {"protocol": 3},
        {"decode_responses": True},
    ],
    ids=["resp2", "resp2 bytes", "resp3", "resp3 bytes", "default"],
)
def client(request, redis_server, traced):
    with redis.Redis.from_url(redis_server.url, **request.param) as client:
        yield client


@pytest.fixture
def traced(spans):
    with instrumented(instrumentation):
        yield


@pytest.fixture
def r(redis_server, traced):
    with redis.Redis.from_url(redis_server.url, decode_responses=True) as client:
        yield client


def entries_of(answer):
    """Return all entries in an answer of XREAD, whatever protocol it came by."""
    for _, entries in answer.items() if isinstance(answer, dict) else answer:
        yield from entries[0] if entries and isinstance(entries[0], list) else entries


def as_text(fields):
    decode = lambda value: value.decode() if isinstance(value, bytes) else value
    return {decode(key): decode(value) for key, value in fields.items()}


def pull(client, stream, **more):
    return client.xreadgroup("readers", "me", {stream: ">"}, **more)


def on_the_wire(plain, stream):
    pairs = plain.execute_command("XRANGE", stream, "-", "+")
    return [fields for _, fields in pairs]


# --- sending --------------------------------------------------------------------------------------------------------


def test_an_entry_carries_the_context_of_the_span_that_adds_it(r, plain, stream, spans):
    with mmtrace.span("request"):
        entry = r.xadd(stream, {"text": "hello"})
    sent, request = spans.take()
    assert (sent.name, sent.kind, sent.parent_span_id) == (f"xadd {stream}", SpanKind.PRODUCER, request.span_id)
    assert sent.attributes == {
        "messaging.system": "redis",
        "messaging.operation.name": "xadd",
        "messaging.operation.type": "send",
        "messaging.destination.name": stream,
    }
    (fields,) = on_the_wire(plain, stream)
    assert fields.keys() == {"text"} | OURS
    assert fields["traceparent"].startswith(f"00-{sent.trace_id:032x}-{sent.span_id:016x}-")
    assert plain.execute_command("XLEN", stream) == 1 and "-" in entry


def test_the_fields_of_the_caller_are_never_changed(r, stream, spans):
    fields = {"text": "hello"}
    r.xadd(stream, fields)
    r.xadd(name=stream, fields=fields, maxlen=10)
    r.xadd(stream, fields, "*", 10)
    assert fields == {"text": "hello"}
    spans.take()


@pytest.mark.parametrize("name", ["traceparent", b"baggage", "TraceState", "mmtrace-arrival"])
def test_an_entry_that_has_a_field_of_ours_already_is_added_as_it_is(r, plain, stream, spans, name):
    r.xadd(stream, {name: "mine"})
    assert [as_text(fields) for fields in on_the_wire(plain, stream)] == [as_text({name: "mine"})]
    assert spans.one().kind is SpanKind.CLIENT
    assert [as_text(fields) for _, fields in r.xrange(stream)] == [as_text({name: "mine"})]


def test_a_pipeline_adds_entries_with_their_context_and_returns_itself(client, plain, stream, spans):
    with client.pipeline() as pipeline:
        assert pipeline.xadd(stream, {"n": 1}) is pipeline
        pipeline.xadd(stream, {"n": 2}).xlen(stream)
        *_, length = pipeline.execute()
    assert length == 2
    headers = [fields["traceparent"][3:52] for fields in on_the_wire(plain, stream)]
    assert headers == [f"{span.trace_id:032x}-{span.span_id:016x}" for span in spans.take()]


def test_what_redis_refuses_is_recorded_and_raised_as_it_is(r, plain, stream, spans):
    plain.set(f"{stream}-text", "no stream")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        r.xadd(f"{stream}-text", {"n": 1})
    assert spans.one().attributes["error.type"].endswith("ResponseError")


def test_wrong_arguments_are_the_business_of_the_library(r, stream, spans):
    for wrong in ({}, {"name": stream}, {"name": stream, "fields": {}}, {"name": stream, "fields": [1]}):
        with pytest.raises((TypeError, redis.DataError)):
            r.xadd(**wrong)


def test_nothing_is_recorded_or_carried_where_instrumentation_is_suppressed(r, plain, stream, spans):
    with suppress():
        r.xadd(stream, {"n": "1"})
        assert list(entries_of(pull(r, stream))) == [(mine(plain, stream), {"n": "1"})]
    assert on_the_wire(plain, stream) == [{"n": "1"}]


def mine(plain, stream):
    return plain.execute_command("XRANGE", stream, "-", "+")[0][0]


def test_the_user_can_decide_that_entries_carry_nothing(redis_server, plain, stream, spans):
    chosen = Options(carriers={"redis": False})
    with instrumented(instrumentation, chosen=chosen), redis.Redis.from_url(redis_server.url) as client:
        client.xadd(stream, {"n": 1})
    assert on_the_wire(plain, stream) == [{"n": "1"}]
    assert spans.one().kind is SpanKind.CLIENT


# --- pulling one ----------------------------------------------------------------------------------------------------


def test_the_work_on_an_entry_is_current_and_a_child_of_the_span_that_added_it(client, stream, spans):
    with mmtrace.span("request"):
        entry = client.xadd(stream, {"text": "hello"})
    time.sleep(0.02)

    def consume():
        ((_, fields),) = entries_of(pull(client, stream))
        with mmtrace.model_call("echo"):
            return as_text(fields)

    assert in_a_thread(consume) == {"text": "hello"}
    sent, request, model, work = spans.take()
    assert (work.name, work.kind) == (f"process {stream}", SpanKind.CONSUMER)
    assert (work.trace_id, work.parent_span_id) == (request.trace_id, sent.span_id)
    assert (model.trace_id, model.parent_span_id) == (request.trace_id, work.span_id)
    assert work.attributes.pop("mmtrace.queue.duration") == pytest.approx(0.02, abs=0.019 + 2)
    assert work.attributes == {
        "messaging.system": "redis",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": stream,
        "messaging.consumer.group.name": "readers",
        "messaging.message.id": entry if isinstance(entry, str) else entry.decode(),
    }


def test_xread_pulls_as_xreadgroup_does(client, stream, spans):
    client.xadd(stream, {"n": 1})

    def consume():
        ((_, fields),) = entries_of(client.xread({stream: "0"}, 10, 100))
        return as_text(fields), where()

    fields, current = in_a_thread(consume)
    sent, work = spans.take()
    assert (fields, current, work.trace_id) == ({"n": "1"}, ids(work), sent.trace_id)
    assert "messaging.consumer.group.name" not in work.attributes


def test_an_entry_is_current_until_the_next_pull(r, stream, spans):
    r.xadd(stream, {"n": 1})

    def consume():
        with mmtrace.span("worker") as worker:
            pull(r, stream)
            during = where()
            assert not pull(r, stream)
            return during, where() == (worker.get_span_context().trace_id, worker.get_span_context().span_id)

    during, restored = in_a_thread(consume)
    sent, work, worker = spans.take()
    assert restored and during == ids(work)
    assert [link.span_id for link in work.links] == [worker.span_id]
    assert work.trace_id == sent.trace_id != worker.trace_id


def test_an_entry_is_current_until_it_is_acknowledged(r, stream, spans):
    r.xadd(stream, {"n": 1})

    def consume():
        ((entry, _),) = entries_of(pull(r, stream))
        assert r.xack(stream, "readers", entry) == 1
        return where()

    assert in_a_thread(consume) == (0, 0)
    assert len(spans.take()) == 2


def test_an_acknowledgement_in_a_pipeline_counts_when_the_pipeline_has_run(r, stream, spans):
    r.xadd(stream, {"n": 1})
    answers = f"{stream}-answers"

    def consume():
        ((entry, _),) = entries_of(pull(r, stream))
        with r.pipeline() as pipeline:
            pipeline.xack(stream, "readers", entry)
            pipeline.xadd(answers, {"m": 1})
            pipeline.execute()
        return where()

    assert in_a_thread(consume) == (0, 0)
    sent, answered, work = spans.take()
    assert (answered.name, answered.parent_span_id) == (f"xadd {answers}", work.span_id)
    assert answered.trace_id == sent.trace_id


def test_what_is_attached_explicitly_wins(r, stream, spans):
    r.xadd(stream, {"n": 1})
    with mmtrace.span("other") as other:
        carrier = mmtrace.inject({})

    def consume():
        pull(r, stream)
        with mmtrace.attach(carrier):
            attached = where()
        return attached, where()

    attached, after = in_a_thread(consume)
    _, _, work = spans.take()
    assert attached[1] == other.get_span_context().span_id
    assert after == ids(work)


def test_an_entry_of_a_sender_without_traces_is_worked_on_in_the_context_of_the_reader(r, plain, stream, spans):
    plain.execute_command("XADD", stream, "*", "n", "1")

    def consume():
        with mmtrace.span("request"):
            ((_, fields),) = entries_of(pull(r, stream))
            return fields

    assert in_a_thread(consume) == {"n": "1"}
    request, work = sorted(spans.take(), key=lambda span: span.name, reverse=True)
    assert (work.trace_id, work.parent_span_id) == (request.trace_id, request.span_id)
    assert "mmtrace.queue.duration" not in work.attributes


def test_a_context_that_another_tracer_wrote_is_used_and_stays_in_the_entry(r, plain, stream, spans):
    header = f"00-{7:032x}-{9:016x}-01"
    plain.execute_command("XADD", stream, "*", "traceparent", header)
    ((_, fields),) = in_a_thread(lambda: list(entries_of(pull(r, stream))))
    assert fields == {"traceparent": header}
    assert spans.one().parent_span_id == 9


def test_nothing_is_recorded_where_nothing_comes(client, stream, spans):
    assert not in_a_thread(lambda: pull(client, stream))
    assert not in_a_thread(lambda: client.xread({stream: "$"}, block=1))


def test_claimed_entries_are_pulled_as_well(client, stream, spans):
    entry = client.xadd(stream, {"n": 1})
    pull_silently = suppress()
    with pull_silently:
        pull(client, stream)

    def claim():
        ((_, fields),) = client.xclaim(stream, "readers", "other", 0, [entry])
        claimed = where()
        _, ((_, again),), *_ = client.xautoclaim(stream, "readers", "third", 0)
        return as_text(fields), claimed, as_text(again), where()

    fields, claimed, again, autoclaimed = in_a_thread(claim)
    _, first, second = spans.take()
    assert (fields, again) == ({"n": "1"}, {"n": "1"})
    assert (claimed, autoclaimed) == (ids(first), ids(second))
    assert client.xclaim(stream, "readers", "other", 0, [entry], justid=True) == [entry]
    assert client.xautoclaim(stream, "readers", "other", 0, justid=True) == [entry]


def test_looking_at_a_stream_shows_the_senders_fields_and_pulls_nothing(client, stream, spans):
    client.xadd(stream, {"n": 1})
    for found in (client.xrange(stream), client.xrevrange(stream)):
        ((_, fields),) = found
        assert as_text(fields) == {"n": "1"} and where() == (0, 0)
    spans.take()


def test_a_pipeline_reads_the_senders_fields(client, stream, spans):
    client.xadd(stream, {"n": 1})
    with client.pipeline() as pipeline:
        assert pipeline.xrange(stream) is pipeline
        pipeline.xread({stream: "0"})
        pipeline.xreadgroup("readers", "me", {stream: ">"})
        pipeline.xautoclaim(stream, "readers", "me", 0)
        looked, read, grouped, (_, claimed, *_) = pipeline.execute()
    found = [*looked, *entries_of(read), *entries_of(grouped), *claimed]
    assert [as_text(fields) for _, fields in found] == [{"n": "1"}] * 4
    assert where() == (0, 0)
    spans.take()


# --- pulling several ------------------------------------------------------------------------------------------------


def test_several_entries_are_one_pull_linked_to_each_sender(client, stream, spans):
    for n in range(3):
        client.xadd(stream, {"n": n})
    answer = in_a_thread(lambda: list(entries_of(pull(client, stream))))
    *sent, received = (span for span in spans.take() if not span.name.startswith("process"))
    assert (received.name, received.kind) == (f"receive {stream}", SpanKind.CLIENT)
    assert [(link.trace_id, link.span_id) for link in received.links] == [ids(span) for span in sent]
    assert received.attributes["messaging.batch.message_count"] == 3
    assert [as_text(fields) for _, fields in answer] == [{"n": str(n)} for n in range(3)]


def test_each_of_several_entries_is_current_while_it_is_iterated(client, stream, spans):
    for n in range(3):
        with mmtrace.span("request"):
            client.xadd(stream, {"n": n})
    requests = [span for span in spans.take() if span.name == "request"]

    def consume():
        with mmtrace.span("worker"):
            answer = pull(client, stream)
            together, found = where(), []
            for entry, _ in entries_of(answer):
                found.append(where())
                client.xack(stream, "readers", entry)
            return together, found, where()

    together, found, after = in_a_thread(consume)
    received, *works, worker = spans.take()
    assert together == ids(received) and found == [ids(work) for work in works]
    assert [work.trace_id for work in works] == [request.trace_id for request in requests]
    assert all(work.attributes["mmtrace.queue.duration"] >= 0 for work in works)
    assert after == ids(worker)


def test_what_is_done_with_several_entries_together_belongs_to_their_pull(r, stream, spans):
    r.xadd(stream, {"n": 1})
    r.xadd(stream, {"n": 2})

    def consume():
        entries = list(entries_of(pull(r, stream)))
        with mmtrace.model_call("batch"):
            pass
        r.xack(stream, "readers", *(entry for entry, _ in entries))
        return where()

    assert in_a_thread(consume) == (0, 0)
    by_name = {span.name: span for span in spans.take()}
    assert by_name["infer batch"].parent_span_id == by_name[f"receive {stream}"].span_id


def test_entries_of_several_streams_are_one_pull(client, plain, stream, spans):
    other = f"{stream}-other"
    client.xadd(stream, {"n": 1})
    client.xadd(other, {"n": 2})

    def consume():
        return [(as_text(fields), where()) for _, fields in entries_of(client.xread({stream: "0", other: "0"}))]

    found = in_a_thread(consume)
    first, second, received, *works = spans.take()
    assert received.name == "receive" and "messaging.destination.name" not in received.attributes
    assert sorted(work.name for work in works) == sorted([f"process {stream}", f"process {other}"])
    assert {current for _, current in found} == {ids(work) for work in works}
    assert {work.trace_id for work in works} == {first.trace_id, second.trace_id}


def test_a_list_of_entries_is_a_list_in_everything(r, stream, spans):
    for n in range(3):
        r.xadd(stream, {"n": n})

    with suppress():
        expected = r.xrange(stream)
    answer = in_a_thread(lambda: r.xread({stream: "0"}))
    entries = next(iter(answer.values())) if isinstance(answer, dict) else answer[0][1]
    spans.take()
    assert isinstance(entries, list) and entries == expected and len(entries) == 3
    assert in_a_thread(json.dumps, entries) == json.dumps(expected)
    assert entries[0] == expected[0] and entries[1:] == expected[1:]
    assert type(pickle.loads(pickle.dumps(entries))) is list
    entries.pop()
    entries.append(expected[2])
    assert in_a_thread(lambda: list(entries)) == expected
    spans.take()


# --- asyncio --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def ar(redis_server, traced):
    async with redis.asyncio.Redis.from_url(redis_server.url, decode_responses=True) as client:
        yield client


async def test_an_entry_is_current_in_the_task_that_awaits_it(ar, plain, stream, spans):
    async def consume():
        ((_, fields),) = entries_of(await pull(ar, stream, block=2000))
        with mmtrace.span("work"):
            return fields

    consumer = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    with mmtrace.span("request"):
        await ar.xadd(stream, {"text": "hello"})
    assert await consumer == {"text": "hello"}
    await asyncio.sleep(0)
    found = {span.name.partition(" ")[0]: span for span in spans.take()}
    chain = [found[name] for name in ("request", "xadd", "process", "work")]
    assert [span.parent_span_id for span in chain[1:]] == [span.span_id for span in chain[:-1]]
    assert set(on_the_wire(plain, stream)[0]) == {"text"} | OURS


async def test_an_entry_is_current_after_wait_for(ar, stream, spans):
    await ar.xadd(stream, {"n": 1})

    async def consume():
        await asyncio.wait_for(pull(ar, stream), 5)
        first = where()
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(pull(ar, stream, block=5000), 0.01)
        return first, where()

    first, then = await asyncio.create_task(consume())
    _, work = spans.take()
    assert (first, then) == (ids(work), (0, 0))


async def test_an_entry_is_current_until_its_task_has_ended(ar, stream, spans):
    await ar.xadd(stream, {"n": 1})
    spans.take()

    async def pull_and_forget():
        await pull(ar, stream)

    await asyncio.create_task(pull_and_forget())
    await asyncio.sleep(0)
    assert spans.one().name == f"process {stream}"
    assert where() == (0, 0)


async def test_a_task_that_is_started_while_an_entry_is_current_does_not_end_the_work_on_it(ar, stream, spans):
    await ar.xadd(stream, {"n": 1})

    async def look():
        assert not await pull(ar, stream)
        return where()

    async def consume():
        await pull(ar, stream)
        before = where()
        inherited = await asyncio.create_task(look())
        return before, inherited, where()

    before, inherited, after = await asyncio.create_task(consume())
    await asyncio.sleep(0)
    _, work = spans.take()
    assert before == inherited == after == ids(work)


async def test_several_entries_are_current_in_their_turn_between_awaits(ar, stream, spans):
    for n in range(2):
        await ar.xadd(stream, {"n": n})
    sent = spans.take()

    async def consume():
        found = []
        for entry, _ in entries_of(await pull(ar, stream)):
            await asyncio.sleep(0)
            found.append(where()[0])
            await ar.xack(stream, "readers", entry)
        return found, where()

    found, after = await asyncio.create_task(consume())
    assert (found, after) == ([span.trace_id for span in sent], (0, 0))
    assert len(spans.take()) == 3


async def test_a_pipeline_of_asyncio_sends_and_reads(ar, stream, spans):
    async with ar.pipeline() as pipeline:
        assert pipeline.xadd(stream, {"n": 1}) is pipeline
        pipeline.xrange(stream)
        _, ((_, fields),) = await pipeline.execute()
    assert fields == {"n": "1"}
    assert spans.one().kind is SpanKind.PRODUCER
    ((_, fields),) = await ar.xrange(stream)
    assert fields == {"n": "1"}


async def test_what_redis_refuses_an_asyncio_client_is_recorded_and_raised_as_it_is(ar, plain, stream, spans):
    plain.set(f"{stream}-text", "no stream")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        await ar.xadd(f"{stream}-text", {"n": 1})
    assert spans.one().attributes["error.type"].endswith("ResponseError")


# --- what every instrumentation promises ----------------------------------------------------------------------------


class TestRedisStreams(InstrumentationCases):
    instrumentation = instrumentation

    @pytest.fixture(autouse=True)
    def _server(self, redis_server, w3c):
        self.url = redis_server.url

    def use(self):
        stream = uuid.uuid4().hex
        with redis.Redis.from_url(self.url, decode_responses=True) as client:
            client.xgroup_create(stream, "readers", mkstream=True)
            client.xadd(stream, {"n": 1})
            ((entry, one),) = entries_of(pull(client, stream))
            client.xclaim(stream, "readers", "other", 0, [entry])
            client.xautoclaim(stream, "readers", "other", 0)
            acknowledged = client.xack(stream, "readers", entry)
            with client.pipeline() as pipeline:
                pipeline.xadd(stream, {"n": 2}).xread({stream: 0}).xlen(stream)
                _, _, length = pipeline.execute()
            client.xadd(stream, {"n": 3})
            several = [fields for _, fields in entries_of(client.xread({stream: "0"}))][:0]
            client.xread({stream: "$"})
            return self.sent(one), acknowledged, length, several, len(client.xrange(stream))

    def sent(self, fields):
        return {key: value for key, value in fields.items() if key not in OURS}

    def misuse(self):
        with redis.Redis.from_url(self.url) as client:
            client.xadd("stream", {})


# --- two programs ---------------------------------------------------------------------------------------------------

PRODUCER = """
import os
import redis
from opentelemetry import trace

client = redis.Redis.from_url(os.environ["REDIS"])
with trace.get_tracer("test").start_as_current_span("request"):
    client.xadd(os.environ["STREAM"], {"features": "5.1,3.5,1.4,0.2"})
"""

CONSUMER = """
import os
import redis
from sklearn.linear_model import LogisticRegression

model = LogisticRegression().fit([[5.0, 3.0, 1.0, 0.0], [6.0, 3.0, 5.0, 2.0]], ["setosa", "virginica"])
client = redis.Redis.from_url(os.environ["REDIS"], decode_responses=True, protocol=2)
((_, entries),) = client.xreadgroup("readers", "me", {os.environ["STREAM"]: ">"}, count=1, block=60_000)
((entry, fields),) = entries
print(model.predict([[float(number) for number in fields.pop("features").split(",")]]), fields)
"""


def test_one_request_through_two_programs_that_know_nothing_of_mmtrace_is_one_trace(
    redis_server, receiver, start, stream
):
    producer = start("producer", PRODUCER, REDIS=redis_server.url, STREAM=stream)
    consumer = start("consumer", CONSUMER, REDIS=redis_server.url, STREAM=stream)
    assert producer.communicate(timeout=300) == ("", "")
    assert consumer.communicate(timeout=300) == ("['setosa'] {}\n", "")
    spans = {span.name: span for span in receiver.spans() if "fit" not in span.name}
    model = next(span for name, span in spans.items() if "LogisticRegression" in name)
    chain = [*(spans[name] for name in ("request", f"xadd {stream}", f"process {stream}")), model]
    assert len({span.trace_id for span in chain}) == 1
    assert [span.parent_span_id for span in chain[1:]] == [span.span_id for span in chain[:-1]]
    services = [span.resource.attributes["service.name"] for span in chain]
    assert services == ["producer", "producer", "consumer", "consumer"]
