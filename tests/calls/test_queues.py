import asyncio
import multiprocessing
import multiprocessing.queues
import pickle
import queue
from contextlib import contextmanager

import pytest
from opentelemetry.trace import get_current_span

import mmtrace
from whereabouts import in_a_thread

METHODS = ["fork", "spawn", "forkserver"]
KINDS = ["Queue", "JoinableQueue", "SimpleQueue"]


def where():
    return get_current_span().get_span_context().trace_id


def trace_of(span):
    return span.get_span_context().trace_id


def consume(requests, answers):
    while (item := requests.get()) is not None:
        answers.put((item, where()))
    answers.put(None)


@contextmanager
def request(requests, item):
    with mmtrace.span("request") as span:
        requests.put(item)
        yield span


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS)
def test_the_context_of_an_item_is_current_in_another_process_until_the_next_one(recorded, method, kind):
    context = multiprocessing.get_context(method)
    requests, answers = mmtrace.carry(getattr(context, kind)()), context.SimpleQueue()
    process = context.Process(target=consume, args=(requests, answers))
    process.start()
    expected = []
    for item in ("first", "second"):
        with request(requests, item) as span:
            expected.append((item, trace_of(span)))
    requests.put("none")
    requests.put(None)
    found = list(iter(answers.get, None))
    process.join(60)
    recorded.take()
    assert found == [*expected, ("none", 0)]
    if kind != "SimpleQueue":
        requests.close()
        requests.join_thread()


def test_the_queue_of_a_manager_carries_contexts(recorded):
    with multiprocessing.get_context("spawn").Manager() as manager:
        requests, answers = mmtrace.carry(manager.Queue()), manager.Queue()
        process = multiprocessing.get_context("spawn").Process(target=consume, args=(requests, answers))
        process.start()
        with request(requests, 1) as span:
            requests.put(None)
        assert answers.get() == (1, trace_of(span))
        process.join(60)
    recorded.take()


def test_the_time_of_arrival_comes_with_the_item(recorded):
    requests = mmtrace.carry(queue.Queue())
    with request(requests, "item"):
        pass

    def serve():
        requests.get()
        recorded.clock.advance(2.0)
        with mmtrace.batch("embed", [requests.ticket]):
            pass

    in_a_thread(serve)
    spans = {span.name: span for span in recorded.take()}
    assert spans["infer embed"].trace_id == spans["request"].trace_id
    assert spans["infer embed"].attributes["mmtrace.queue.duration"] == pytest.approx(2.0, abs=0.1)


def test_what_was_current_before_a_pull_is_current_again_when_the_next_one_waits(recorded):
    requests = mmtrace.carry(queue.Queue())
    with request(requests, 1) as one:
        pass

    def serve():
        with mmtrace.span("worker") as worker:
            before = where() == trace_of(worker)
            requests.get()
            during = where() == trace_of(one)
            with pytest.raises(queue.Empty):
                requests.get_nowait()
            return before, during, where() == trace_of(worker)

    assert in_a_thread(serve) == (True, True, True)
    recorded.take()


def test_a_span_that_is_open_while_the_next_item_is_taken_stays_what_it_is(recorded):
    requests = mmtrace.carry(queue.Queue())
    with request(requests, 1), request(requests, 2):
        pass

    def serve():
        requests.get()
        with mmtrace.span("work") as work:
            requests.get()
        return work.get_span_context().trace_id

    in_a_thread(serve)
    recorded.take()


def test_items_of_somebody_who_does_not_carry_come_out_as_they_are(recorded):
    plain = queue.Queue()
    requests = mmtrace.carry(plain)
    plain.put("item")

    def serve():
        return requests.get(), where(), requests.ticket

    with mmtrace.span("elsewhere"):
        assert in_a_thread(serve) == ("item", 0, None)
    recorded.take()


def test_a_queue_that_keeps_an_order_goes_on_comparing_items(recorded):
    requests = mmtrace.carry(queue.PriorityQueue())
    for item in (3, 1, 2):
        requests.put(item)
    requests.queue.append(4)
    assert in_a_thread(lambda: [requests.get() for _ in range(4)]) == [1, 2, 3, 4]


def test_a_queue_of_asyncio_carries_contexts_between_tasks(recorded):
    async def serve(requests):
        return await requests.get(), where()

    async def main():
        requests = mmtrace.carry(asyncio.Queue())
        server = asyncio.create_task(serve(requests))
        await asyncio.sleep(0)
        with mmtrace.span("request") as span:
            await requests.put("item")
        assert await server == ("item", trace_of(span))

    asyncio.run(main())
    recorded.take()


def test_a_queue_of_asyncio_carries_contexts_through_wait_for(recorded):
    async def serve(requests):
        return await asyncio.wait_for(requests.get(), 5), where()

    async def main():
        requests = mmtrace.carry(asyncio.Queue())
        with mmtrace.span("request") as span:
            requests.put_nowait("item")
        assert await asyncio.create_task(serve(requests)) == ("item", trace_of(span))

    asyncio.run(main())
    recorded.take()


def test_a_carrying_queue_is_its_queue_in_everything_else():
    original = queue.Queue(maxsize=1)
    requests = mmtrace.carry(original)
    assert isinstance(requests, queue.Queue)
    assert (requests.empty(), requests.maxsize) == (True, 1)
    requests.put("item")
    with pytest.raises(queue.Full):
        requests.put("more", timeout=0.01)
    with pytest.raises(queue.Full):
        requests.put_nowait("more")
    assert in_a_thread(requests.get_nowait) == "item"
    requests.task_done()
    requests.join()


def test_a_queue_of_processes_refuses_to_be_pickled_outside_of_a_start_as_ever():
    requests = mmtrace.carry(multiprocessing.Queue())
    assert isinstance(requests, multiprocessing.queues.Queue)
    with pytest.raises(RuntimeError, match="shared between processes through inheritance"):
        pickle.dumps(requests)
    requests.close()
    requests.join_thread()
