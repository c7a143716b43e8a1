import asyncio
import gc
import time
import uuid
from typing import Generic, TypeVar

import confluent_kafka
import confluent_kafka.aio
import pytest
from confluent_kafka import cimpl
from confluent_kafka.error import ConsumeError
from confluent_kafka.serialization import StringDeserializer, StringSerializer
from opentelemetry.trace import SpanKind

import mmtrace
from mmtrace.instrumenting import Options, suppress
from mmtrace.testing import InstrumentationCases, instrumented
from mmtrace_instrumentation.confluent_kafka import instrumentation
from whereabouts import ids, in_a_thread, where

pytestmark = pytest.mark.usefixtures("w3c")


@pytest.fixture
def traced(spans):
    with instrumented(instrumentation):
        yield


@pytest.fixture
def topic():
    return f"orders-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def producer(kafka_broker, traced):
    return confluent_kafka.Producer({"bootstrap.servers": kafka_broker.servers, "linger.ms": 0})


@pytest.fixture
def consumer(kafka_broker, traced, topic):
    consumer = confluent_kafka.Consumer(configuration(kafka_broker))
    yield assigned(consumer, topic)
    in_a_thread(consumer.close)


@pytest.fixture
def plain(kafka_broker, topic):
    """Reads what is really there, with the library's own class."""
    consumer = cimpl.Consumer(configuration(kafka_broker))
    yield lambda: assigned(consumer, topic).poll(10)
    consumer.close()


def configuration(broker, **more):
    return {
        "bootstrap.servers": broker.servers, "group.id": "readers",
        "auto.offset.reset": "earliest", "enable.auto.commit": False, "fetch.wait.max.ms": 10, **more,
    }  # fmt: skip


def assigned(consumer, topic):
    consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    return consumer


def send(producer, topic, *values, **more):
    for value in values:
        producer.produce(topic, value, partition=0, **more)
    assert producer.flush(30) == 0


# --- sending --------------------------------------------------------------------------------------------------------


def test_a_message_carries_the_context_of_the_span_that_sends_it(producer, plain, topic, spans):
    with mmtrace.span("request"):
        send(producer, topic, b"hello", key="k")
    sent, request = spans.take()
    assert (sent.name, sent.kind, sent.parent_span_id) == (f"send {topic}", SpanKind.PRODUCER, request.span_id)
    assert sent.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "send",
        "messaging.operation.type": "send",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": "0",
        "messaging.kafka.message.key": "k",
    }
    found = dict(plain().headers())
    assert found.keys() == {"traceparent", "mmtrace-arrival"}
    assert found["traceparent"].startswith(f"00-{sent.trace_id:032x}-{sent.span_id:016x}-".encode())


@pytest.mark.parametrize(
    "headers",
    [[("a", b"1"), ("a", b"2"), ("none", None)], [], {"a": b"1", "b": "2"}, {}, None],
    ids=["list", "empty list", "dict", "empty dict", "none"],
)
def test_the_headers_of_the_caller_arrive_and_are_never_changed(producer, plain, topic, spans, headers):
    before = headers and headers.copy()
    send(producer, topic, b"1", headers=headers)
    assert (headers or None) == (before or None)
    found = plain().headers()
    expected = list(headers.items()) if isinstance(headers, dict) else headers or []
    assert [name for name, _ in found[: len(expected)]] == [name for name, _ in expected]
    assert {name for name, _ in found[len(expected) :]} == {"traceparent", "mmtrace-arrival"}
    spans.take()


def test_headers_may_be_given_by_position(producer, plain, topic, spans):
    producer.produce(topic, b"v", b"k", 0, None, None, 0, [("a", b"1")])
    assert producer.flush(30) == 0
    found = plain()
    assert (found.value(), found.key()) == (b"v", b"k")
    assert [name for name, _ in found.headers()] == ["a", "traceparent", "mmtrace-arrival"]
    spans.take()


def test_a_context_that_the_caller_gave_stays_what_it_is(producer, plain, topic, spans):
    mine = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    send(producer, topic, b"1", headers=mine)
    assert plain().headers() == mine
    assert spans.one().kind is SpanKind.CLIENT


def test_a_message_that_is_sent_on_with_its_headers_carries_the_context_of_the_one_who_sends_it_on(
    producer, consumer, plain, topic, spans
):
    send(producer, topic, b"1")

    def relay():
        found = consumer.poll(10)
        producer.produce(f"{topic}-next", found.value(), partition=0, headers=found.headers())
        producer.flush(30)
        return len(found.headers())

    count = in_a_thread(relay)
    _, second, work = spans.take()
    found = in_a_thread(assigned(consumer, f"{topic}-next").poll, 10).headers()
    assert len(found) == count == 2
    assert second.parent_span_id == work.span_id
    assert spans.one().parent_span_id == second.span_id


def test_a_tombstone_is_marked(producer, consumer, topic, spans):
    send(producer, topic, None, key=b"gone")
    in_a_thread(consumer.poll, 10)
    for span in spans.take():
        assert span.attributes["messaging.kafka.message.tombstone"] is True
        assert span.attributes["messaging.kafka.message.key"] == "gone"


def test_what_the_library_refuses_is_recorded_and_raised_as_it_is(kafka_broker, traced, topic, spans):
    small = {"bootstrap.servers": kafka_broker.servers, "queue.buffering.max.messages": 1, "linger.ms": 60_000}
    producer = confluent_kafka.Producer(small)
    producer.produce(topic, b"1")
    with pytest.raises(BufferError):
        producer.produce(topic, b"2")
    first, second = spans.take()
    assert (first.is_error, second.attributes["error.type"]) == (False, "BufferError")
    with pytest.raises(TypeError):
        producer.produce()
    assert spans.one().attributes["error.type"] == "TypeError"
    producer.purge()
    producer.flush(10)


def test_the_delivery_report_reaches_the_caller(producer, topic, spans):
    reports = []
    send(producer, topic, b"1", on_delivery=lambda error, found: reports.append((error, found.topic())))
    assert reports == [(None, topic)]
    spans.take()


def test_nothing_is_recorded_or_carried_where_instrumentation_is_suppressed(producer, consumer, topic, spans):
    with suppress():
        send(producer, topic, b"1")
        assert consumer.poll(10).headers() is None
        send(producer, topic, b"2", b"3")
        assert [found.value() for found in consumer.consume(2, 10)] == [b"2", b"3"]


def test_the_user_can_decide_that_messages_carry_nothing(kafka_broker, plain, topic, spans):
    with instrumented(instrumentation, chosen=Options(carriers={"kafka": False})):
        send(confluent_kafka.Producer({"bootstrap.servers": kafka_broker.servers}), topic, b"1")
    assert plain().headers() is None
    assert spans.one().kind is SpanKind.CLIENT


# --- pulling one ----------------------------------------------------------------------------------------------------


def test_the_work_on_a_message_is_current_and_a_child_of_the_span_that_sent_it(producer, consumer, topic, spans):
    with mmtrace.span("request"):
        send(producer, topic, b"hello", key=b"k")
    time.sleep(0.02)

    def consume():
        found = consumer.poll(10)
        with mmtrace.model_call("echo"):
            return found.value()

    assert in_a_thread(consume) == b"hello"
    sent, request, model, work = spans.take()
    assert (work.name, work.kind) == (f"process {topic}", SpanKind.CONSUMER)
    assert (work.trace_id, work.parent_span_id) == (request.trace_id, sent.span_id)
    assert model.parent_span_id == work.span_id
    assert work.attributes.pop("mmtrace.queue.duration") >= 0.02
    assert work.attributes == {
        "messaging.system": "kafka",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": topic,
        "messaging.consumer.group.name": "readers",
        "messaging.destination.partition.id": "0",
        "messaging.kafka.offset": 0,
        "messaging.kafka.message.key": "k",
    }


def test_a_message_is_current_until_the_next_poll(producer, consumer, topic, spans):
    send(producer, topic, b"1", b"2")

    def consume():
        found = []
        while consumer.poll(0 if len(found) == 2 else 10) is not None:
            found.append(where())
        return found, where()

    found, after = in_a_thread(consume)
    first, second, *works = spans.take()
    assert found == [ids(work) for work in works] and after == (0, 0)
    assert [work.trace_id for work in works] == [first.trace_id, second.trace_id]


@pytest.mark.parametrize("settle", ["commit", "close"])
def test_a_message_is_current_until_it_is_committed_or_its_consumer_is_closed(
    kafka_broker, producer, topic, spans, settle
):
    send(producer, topic, b"1")

    def consume():
        consumer = assigned(confluent_kafka.Consumer(configuration(kafka_broker)), topic)
        found = consumer.poll(10)
        before = where()
        consumer.close() if settle == "close" else consumer.commit(found, asynchronous=False)
        after = where()
        if settle == "commit":
            consumer.close()
        return before, after

    before, after = in_a_thread(consume)
    assert (before, after) == (ids(spans.take()[1]), (0, 0))


@pytest.mark.skipif(not hasattr(confluent_kafka.Consumer, "__exit__"), reason="consumers are no blocks here")
def test_a_message_is_current_until_the_block_of_its_consumer_is_left(kafka_broker, producer, topic, spans):
    send(producer, topic, b"1")

    def consume():
        with confluent_kafka.Consumer(configuration(kafka_broker)) as consumer:
            assigned(consumer, topic).poll(10)
        return where()

    assert in_a_thread(consume) == (0, 0)
    assert len(spans.take()) == 2


def test_an_error_is_no_message(kafka_broker, producer, topic, spans):
    send(producer, topic, b"1")

    def consume():
        consumer = confluent_kafka.Consumer(configuration(kafka_broker, **{"enable.partition.eof": True}))
        assigned(consumer, topic).poll(10)
        polled, current = consumer.poll(10), where()
        found, end = assigned(consumer, topic).consume(2, 10)
        consumer.close()
        return polled.error().code(), current, found.error(), end.error().code()

    end = confluent_kafka.KafkaError._PARTITION_EOF
    assert in_a_thread(consume) == (end, (0, 0), None, end)
    assert [span.name for span in spans.take()] == [f"send {topic}", f"process {topic}", f"process {topic}"]


def test_consumers_of_a_group_are_traced_as_they_join(kafka_broker, producer, topic, spans):
    send(producer, topic, b"1")

    def consume():
        consumer = confluent_kafka.Consumer(configuration(kafka_broker, **{"group.id": topic}))
        consumer.subscribe([topic])
        found = consumer.poll(30)
        consumer.commit(found, asynchronous=False)
        consumer.close()
        return found.value()

    assert in_a_thread(consume) == b"1"
    assert spans.take()[-1].attributes["messaging.consumer.group.name"] == topic


# --- pulling several ------------------------------------------------------------------------------------------------


def test_several_messages_are_one_pull_and_each_is_current_while_it_is_iterated(producer, consumer, topic, spans):
    send(producer, topic, b"0", b"1", b"2")
    sent = spans.take()

    def consume():
        found, values = consumer.consume(3, 10), []
        assert isinstance(found, list) and len(found) == 3
        for one in found:
            values.append((one.value(), where()))
        return values, where()

    values, after = in_a_thread(consume)
    received, *works = spans.take()
    assert (received.name, received.kind) == (f"receive {topic}", SpanKind.CLIENT)
    assert [(link.trace_id, link.span_id) for link in received.links] == [ids(span) for span in sent]
    assert values == [(str(n).encode(), ids(work)) for n, work in enumerate(works)]
    assert [work.trace_id for work in works] == [span.trace_id for span in sent]
    assert after == ids(received)


def test_one_message_that_was_asked_for_as_several_is_current_at_once(producer, consumer, topic, spans):
    send(producer, topic, b"1")
    current = in_a_thread(lambda: (consumer.consume(1, 10), where())[1])
    assert current == ids(spans.take()[1])
    assert in_a_thread(consumer.consume, 1, 0) == []


# --- classes --------------------------------------------------------------------------------------------------------


def serializing(broker, **more):
    return confluent_kafka.SerializingProducer(
        {"bootstrap.servers": broker.servers, "value.serializer": StringSerializer(), **more}
    )


def deserializing(broker, deserializer=None, **more):
    given = {"value.deserializer": deserializer or StringDeserializer(), **more}
    return confluent_kafka.DeserializingConsumer(configuration(broker, **given))


def test_serializing_producers_and_deserializing_consumers_are_traced_once(kafka_broker, traced, topic, spans):
    producer = serializing(kafka_broker)
    producer.produce(topic, value="hello", partition=0, headers={"a": b"1"})
    producer.flush(30)

    def consume():
        consumer = deserializing(kafka_broker)
        found = assigned(consumer, topic).poll(10)
        current = where()
        with pytest.raises(NotImplementedError):
            consumer.consume()
        consumer.close()
        return found.value(), current

    value, current = in_a_thread(consume)
    sent, work = spans.take()
    assert (value, current) == ("hello", ids(work))
    assert work.parent_span_id == sent.span_id


def test_errors_of_deserializing_consumers_are_raised_as_they_are(kafka_broker, producer, topic, spans):
    def consume():
        consumer = deserializing(kafka_broker, **{"enable.partition.eof": True})
        try:
            assigned(consumer, topic).poll(10)
            consumer.poll(10)
        finally:
            consumer.close()

    send(producer, topic, b"1")
    with pytest.raises(ConsumeError, match="_PARTITION_EOF"):
        in_a_thread(consume)
    assert len(spans.take()) == 2


def test_the_hierarchy_of_classes_is_that_of_the_library(kafka_broker, traced):
    producer, consumer = serializing(kafka_broker), deserializing(kafka_broker)
    assert isinstance(producer, confluent_kafka.SerializingProducer)
    assert isinstance(producer, confluent_kafka.Producer) and isinstance(producer, cimpl.Producer)
    assert isinstance(consumer, confluent_kafka.DeserializingConsumer)
    assert isinstance(consumer, confluent_kafka.Consumer) and isinstance(consumer, cimpl.Consumer)
    assert (
        confluent_kafka.Producer.__name__ == "Producer" and confluent_kafka.Producer.__doc__ == cimpl.Producer.__doc__
    )
    in_a_thread(consumer.close)


def test_users_derive_from_producers_and_consumers_as_ever(kafka_broker, traced, topic, spans):
    T = TypeVar("T")

    class Single(type):
        """A metaclass of theirs."""

    class Mine(confluent_kafka.Producer, Generic[T], metaclass=Single):
        def __init__(self, servers):
            super().__init__({"bootstrap.servers": servers})

        def produce(self, *args, **kwargs):
            super().produce(*args, **kwargs)

    producer = Mine[int](kafka_broker.servers)
    send(producer, topic, b"1")
    assert spans.one().name == f"send {topic}"
    assert isinstance(producer, Mine) and issubclass(Mine, cimpl.Producer)


def test_producers_that_outlive_the_instrumentation_work_on_untraced(kafka_broker, plain, topic, spans):
    with instrumented(instrumentation):
        producer = confluent_kafka.Producer({"bootstrap.servers": kafka_broker.servers})
    assert confluent_kafka.Producer is cimpl.Producer
    send(producer, topic, b"1")
    assert plain().headers() is None


# --- asyncio --------------------------------------------------------------------------------------------------------


async def aio_consumer(broker, topic):
    consumer = confluent_kafka.aio.AIOConsumer(configuration(broker), max_workers=2)
    await consumer.assign([confluent_kafka.TopicPartition(topic, 0, 0)])
    return consumer


async def test_a_message_is_current_in_the_task_that_awaits_it(kafka_broker, producer, topic, spans):
    send(producer, topic, b"1")

    async def consume():
        consumer = await aio_consumer(kafka_broker, topic)
        found = await consumer.poll(10)
        during = where()
        await consumer.commit(found)
        after = where()
        await consumer.close()
        return during, after

    during, after = await asyncio.create_task(consume())
    sent, work = spans.take()
    assert (during, after) == (ids(work), (0, 0))
    assert work.parent_span_id == sent.span_id
    assert work.attributes["messaging.consumer.group.name"] == "readers"


async def test_a_message_is_current_after_wait_for(kafka_broker, producer, topic, spans):
    send(producer, topic, b"1")

    async def consume():
        consumer = await aio_consumer(kafka_broker, topic)
        await asyncio.wait_for(consumer.poll(10), 10)
        during = where()
        await consumer.close()
        return during, where()

    during, after = await asyncio.create_task(consume())
    assert (during, after) == (ids(spans.take()[1]), (0, 0))


async def test_several_messages_are_current_in_their_turn_in_a_task(kafka_broker, producer, topic, spans):
    send(producer, topic, b"1", b"2")
    sent = spans.take()

    async def consume():
        consumer = await aio_consumer(kafka_broker, topic)
        found = []
        for one in await consumer.consume(2, 10):
            found.append(where()[0])
            await consumer.commit(one)
        await consumer.close()
        return found

    assert await asyncio.create_task(consume()) == [span.trace_id for span in sent]
    assert [span.name for span in spans.take()] == [f"receive {topic}", f"process {topic}", f"process {topic}"]


# --- what every instrumentation promises ----------------------------------------------------------------------------


class TestConfluentKafka(InstrumentationCases):
    instrumentation = instrumentation

    @pytest.fixture(autouse=True)
    def _broker(self, kafka_broker, w3c):
        self.broker = kafka_broker
        yield
        gc.collect()

    def use(self):
        topic = uuid.uuid4().hex
        producer = confluent_kafka.Producer({"bootstrap.servers": self.broker.servers})
        send(producer, topic, b"1", b"2", b"3", headers={"a": b"1"})
        consumer = assigned(confluent_kafka.Consumer(configuration(self.broker)), topic)
        first, others = consumer.poll(10), consumer.consume(2, 10)
        committed = consumer.commit(others[-1], asynchronous=False)[0].offset
        consumer.close()
        return first.value(), first.headers()[0], len(others), committed

    def misuse(self):
        confluent_kafka.Producer({"bootstrap.servers": self.broker.servers}).produce()


# --- two programs ---------------------------------------------------------------------------------------------------

PRODUCER = """
import os
from confluent_kafka import Producer
from opentelemetry import trace

producer = Producer({"bootstrap.servers": os.environ["KAFKA"]})
with trace.get_tracer("test").start_as_current_span("request"):
    producer.produce(os.environ["TOPIC"], b"5.1,3.5,1.4,0.2")
producer.flush()
"""

CONSUMER = """
import os
from confluent_kafka import Consumer
from opentelemetry import trace

topic = os.environ["TOPIC"]
consumer = Consumer({"bootstrap.servers": os.environ["KAFKA"], "group.id": topic, "auto.offset.reset": "earliest"})
consumer.subscribe([topic])
while (message := consumer.poll(1)) is None or message.error():
    pass
with trace.get_tracer("test").start_as_current_span("model"):
    print(message.value())
"""


def test_one_request_through_two_programs_that_know_nothing_of_mmtrace_is_one_trace(
    kafka_broker, receiver, start, topic
):
    producer = start("producer", PRODUCER, KAFKA=kafka_broker.servers, TOPIC=topic)
    consumer = start("consumer", CONSUMER, KAFKA=kafka_broker.servers, TOPIC=topic)
    assert producer.communicate(timeout=300) == ("", "")
    assert consumer.communicate(timeout=300) == ("b'5.1,3.5,1.4,0.2'\n", "")
    spans = {span.name: span for span in receiver.spans()}
    chain = [spans[name] for name in ("request", f"send {topic}", f"process {topic}", "model")]
    assert len({span.trace_id for span in chain}) == 1
    assert [span.parent_span_id for span in chain[1:]] == [span.span_id for span in chain[:-1]]
    services = [span.resource.attributes["service.name"] for span in chain]
    assert services == ["producer", "producer", "consumer", "consumer"]
