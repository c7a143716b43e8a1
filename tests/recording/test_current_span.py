import asyncio
import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import context, trace
from opentelemetry.sdk.trace import TracerProvider as StockProvider
from opentelemetry.trace import StatusCode


def test_is_current_inside_and_ended_after(memory):
    with memory.tracer.start_as_current_span("work", attributes={"a": 1}) as span:
        assert trace.get_current_span() is span
        assert span.is_recording()
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert memory.span is span and not span.is_recording()


def test_a_span_started_inside_is_its_child(memory):
    with memory.tracer.start_as_current_span("parent") as parent:
        memory.tracer.start_span("child").end()
    child = memory.named("child")
    assert child.parent is parent.get_span_context()
    assert child.context.trace_id == parent.context.trace_id


def test_can_stay_open(memory):
    with memory.tracer.start_as_current_span("work", end_on_exit=False) as span:
        pass
    assert span.is_recording()
    span.end()


def test_takes_every_argument_by_name(memory):
    with memory.tracer.start_as_current_span(
        name="work",
        context=None,
        kind=trace.SpanKind.CLIENT,
        attributes={"a": 1},
        links=[],
        start_time=5,
        record_exception=True,
        set_status_on_exception=True,
        end_on_exit=True,
    ):
        pass
    assert (memory.span.kind, memory.span.start_time) == (trace.SpanKind.CLIENT, 5)


def test_an_exception_that_leaves_is_recorded(memory):
    with pytest.raises(LookupError), memory.tracer.start_as_current_span("work"):
        raise LookupError("nothing there")
    done = memory.span
    assert [event.name for event in done.events] == ["exception"]
    assert (done.status.status_code, done.status.description) == (StatusCode.ERROR, "LookupError: nothing there")


def test_an_exception_is_recorded_as_far_as_it_was_asked(memory):
    with (
        pytest.raises(LookupError),
        memory.tracer.start_as_current_span("work", record_exception=False, set_status_on_exception=False),
    ):
        raise LookupError
    assert memory.span.events == ()
    assert memory.span.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("leaving", [GeneratorExit, KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_what_is_no_error_only_ends_the_span(memory, leaving):
    with pytest.raises(leaving), memory.tracer.start_as_current_span("work"):
        raise leaving
    assert memory.span.events == ()
    assert memory.span.status.status_code is StatusCode.UNSET


def test_decorates_a_function_with_a_span_for_each_call(memory):
    @memory.tracer.start_as_current_span("work")
    def double(number):
        """Twice the number."""
        assert trace.get_current_span().is_recording()
        return double(number - 1) + 2 if number else 0

    assert double(2) == 4
    assert (double.__name__, double.__doc__) == ("double", "Twice the number.")
    inner, middle, outer = memory.spans
    assert (inner.parent, middle.parent, outer.parent) == (middle.context, outer.context, None)


async def test_decorates_a_coroutine_function_until_it_has_ended(memory):
    @memory.tracer.start_as_current_span("work")
    async def answer():
        await asyncio.sleep(0.01)
        assert trace.get_current_span().is_recording()
        return 42

    assert asyncio.iscoroutinefunction(answer)
    assert await asyncio.gather(answer(), answer()) == [42, 42]
    assert [span.parent for span in memory.spans] == [None, None]
    assert all(span.end_time - span.start_time >= 9_000_000 for span in memory.spans)


def test_a_generator_closed_in_another_context_is_silent_and_leaves_that_context_alone(memory, caplog):
    def stream():
        with memory.tracer.start_as_current_span("stream"):
            yield 1

    items = stream()
    contextvars.Context().run(next, items)
    with memory.tracer.start_as_current_span("outside") as outside:
        items.close()
        assert trace.get_current_span() is outside
    assert {span.name for span in memory.spans} == {"stream", "outside"}
    assert not caplog.records


async def test_a_task_left_early_ends_its_span_and_nobody_else_is_inside_it(memory, caplog):
    async def stream():
        with memory.tracer.start_as_current_span("stream"):
            yield 1

    async def first(items):
        return await anext(items)

    items = stream()
    await asyncio.create_task(first(items))
    await items.aclose()
    assert trace.get_current_span() is trace.INVALID_SPAN
    assert memory.span.status.status_code is StatusCode.UNSET
    assert not caplog.records


async def test_tasks_and_executors_with_a_copied_context_have_the_parent(memory):
    with memory.tracer.start_as_current_span("parent") as parent:
        task = asyncio.create_task(_child(memory))
        await asyncio.gather(task, asyncio.to_thread(memory.tracer.start_span, "thread"))
        memory.tracer.start_span("here").end()
    assert all(span.parent is parent.get_span_context() for span in memory.spans if span is not parent)


async def _child(memory):
    with memory.tracer.start_as_current_span("task"):
        await asyncio.sleep(0)


def test_a_thread_begins_without_a_parent(memory):
    with memory.tracer.start_as_current_span("parent"):
        thread = threading.Thread(target=lambda: memory.tracer.start_span("thread").end())
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(contextvars.copy_context().run, lambda: memory.tracer.start_span("copied").end()).result()
    assert memory.named("thread").parent is None
    assert memory.named("copied").parent is memory.named("parent").context


def test_stock_spans_are_parents_of_ours_and_children(memory):
    stock = StockProvider(shutdown_on_exit=False).get_tracer("stock")
    with stock.start_as_current_span("outer") as outer, memory.tracer.start_as_current_span("ours") as ours:
        inner = stock.start_span("inner")
        inner.end()
    assert memory.span.parent is outer.get_span_context()
    assert inner.parent is ours.get_span_context()
    assert len({outer.context.trace_id, ours.context.trace_id, inner.context.trace_id}) == 1


def test_the_api_can_make_our_span_current_and_record_its_errors(memory):
    span = memory.tracer.start_span("work")
    with pytest.raises(ValueError), trace.use_span(span, end_on_exit=True):
        raise ValueError("broken")
    assert memory.span.status.description == "ValueError: broken"


def test_other_values_of_the_context_are_kept(memory):
    token = context.attach(context.set_value("mine", 1))
    try:
        with memory.tracer.start_as_current_span("work"):
            assert context.get_value("mine") == 1
    finally:
        context.detach(token)


def test_a_span_that_fails_to_say_its_error_still_ends(memory):
    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError("no")

    with pytest.raises(Unspeakable), memory.tracer.start_as_current_span("work"):
        raise Unspeakable
    assert memory.span.status.description == "Unspeakable: "
    assert memory.span.events[0].attributes["exception.message"] == ""
