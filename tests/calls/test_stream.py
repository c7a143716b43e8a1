import asyncio
import gc
import inspect

import pytest
from opentelemetry import trace

import mmtrace
from mmtrace import attributes as names


@mmtrace.model("writer", task="generate")
def words(count, clock=None):
    for number in range(count):
        if clock:
            clock.advance(0.1)
        yield number
    return "done"


@mmtrace.model("async-writer", task="generate")
async def async_words(count):
    for number in range(count):
        await asyncio.sleep(0)
        yield number


def test_a_stream_that_is_read_to_its_end_is_exhausted(recorded):
    assert list(words(3)) == [0, 1, 2]
    span = recorded.one()
    assert span.attributes[names.STREAM_END] == "exhausted"
    assert span.attributes[names.OUTPUT_COUNT] == 3
    assert span.attributes[names.OUTCOME] == "ok"


def test_a_stream_returns_what_its_generator_returned(recorded):
    def delegate():
        return (yield from words(1))

    generator = delegate()
    next(generator)
    with pytest.raises(StopIteration) as stop:
        next(generator)
    assert stop.value.value == "done"
    recorded.take()


def test_the_consumer_never_runs_inside_the_streams_span(recorded):
    for _ in words(2):
        assert not trace.get_current_span().is_recording()
    recorded.take()


def test_the_producer_runs_inside_the_streams_span(recorded):
    seen = []

    @mmtrace.model("inner")
    def produce():
        seen.append(trace.get_current_span().is_recording())
        yield 1

    list(produce())
    assert seen == [True]
    recorded.take()


def test_a_stream_that_is_closed_early_is_closed(recorded):
    stream = words(3)
    next(stream)
    stream.close()
    span = recorded.one()
    assert span.attributes[names.STREAM_END] == "closed"
    assert span.attributes[names.OUTCOME] == "cancelled"


def test_a_stream_that_is_dropped_is_abandoned(recorded):
    stream = words(3)
    next(stream)
    del stream
    gc.collect()
    assert recorded.one().attributes[names.STREAM_END] == "abandoned"


def test_a_stream_that_fails_is_an_error_and_raises_it_as_it_was(recorded):
    error = RuntimeError("out of memory")

    @mmtrace.model("fails")
    def produce():
        yield 1
        raise error

    with pytest.raises(RuntimeError) as raised:
        list(produce())
    assert raised.value is error
    assert recorded.one().attributes[names.STREAM_END] == "error"


def test_a_stream_that_nobody_reads_leaves_no_span(recorded):
    words(3)
    gc.collect()
    assert recorded.take() == []


def test_a_stream_left_early_never_detaches_a_foreign_context(recorded):
    stream = words(3)
    next(stream)
    with mmtrace.span("consumer") as span:
        stream.close()
        assert trace.get_current_span() is span
    assert not trace.get_current_span().is_recording()
    recorded.take()


def test_values_and_exceptions_are_sent_into_the_generator(recorded):
    @mmtrace.model("echo")
    def echo():
        received = yield "first"
        try:
            yield received
        except KeyError as error:
            yield error

    stream = echo()
    assert next(stream) == "first"
    assert stream.send("second") == "second"
    error = KeyError("x")
    assert stream.throw(error) is error
    stream.close()
    recorded.take()


def test_times_of_a_stream_are_measured(recorded):
    for _ in words(4, recorded.clock):
        recorded.clock.advance(1.0)
    attributes = recorded.one().attributes
    assert attributes[names.TIME_TO_FIRST_OUTPUT] == pytest.approx(0.1, abs=0.01)
    assert attributes[names.CONSUMER_DURATION] == pytest.approx(3.0, abs=0.1)
    assert attributes[names.OUTPUT_STALLS] == 0


def test_a_stall_is_a_gap_of_over_five_times_the_median(recorded):
    @mmtrace.model("stalls")
    def produce():
        for number in range(12):
            recorded.clock.advance(2.0 if number == 8 else 0.1)
            yield number

    list(produce())
    span = recorded.one()
    assert span.attributes[names.OUTPUT_STALLS] == 1
    assert [event.name for event in span.events] == [names.FIRST_OUTPUT, names.OUTPUT_STALL]


async def test_an_async_stream_that_is_read_to_its_end_is_exhausted(recorded):
    assert [number async for number in async_words(3)] == [0, 1, 2]
    assert recorded.one().attributes[names.STREAM_END] == "exhausted"


async def test_leaving_an_async_stream_early_leaves_the_consumer_outside(recorded):
    async for _ in async_words(3):
        break
    assert not trace.get_current_span().is_recording()
    gc.collect()
    await asyncio.sleep(0.01)
    assert recorded.one().attributes[names.STREAM_END] == "abandoned"


async def test_an_async_stream_that_is_closed_is_closed(recorded):
    stream = async_words(3)
    await stream.__anext__()
    await stream.aclose()
    assert recorded.one().attributes[names.STREAM_END] == "closed"


async def test_an_async_stream_cut_by_a_timeout_is_cancelled(recorded):
    @mmtrace.model("slow")
    async def produce():
        await asyncio.sleep(10)
        yield 1

    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(produce().__anext__(), 0.01)
    assert recorded.one().attributes[names.STREAM_END] == "cancelled"


def test_an_async_stream_without_an_event_loop_ends_its_span(recorded):
    stream = async_words(3)
    step = stream.__anext__()
    with pytest.raises(StopIteration):
        for _ in range(5):
            step.send(None)
    del stream, step
    gc.collect()
    assert recorded.one().attributes[names.STREAM_END] == "abandoned"


def test_a_decorated_generator_function_is_still_one():
    assert inspect.isgeneratorfunction(words)
    assert inspect.isasyncgenfunction(async_words)
    assert list(inspect.signature(words).parameters) == ["count", "clock"]
    assert words.__name__ == "words"


def test_a_decorated_generator_method_is_bound_to_its_instance(recorded):
    class Writer:
        prefix = "w"

        @mmtrace.model("method")
        def write(self):
            yield self.prefix

    assert list(Writer().write()) == ["w"]
    assert inspect.isgeneratorfunction(Writer().write)
    recorded.take()
