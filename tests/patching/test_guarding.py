import asyncio
import traceback

import pytest

from mmtrace.patching.guarding import guarded
from mmtrace.recording import guard


def original(*args, **kwargs):
    return args, kwargs


async def original_coroutine(*args, **kwargs):
    await asyncio.sleep(0)
    return args, kwargs


class Refused(Exception):
    pass


def refuse(*args, **kwargs):
    raise Refused(args)


async def refuse_later(*args, **kwargs):
    await asyncio.sleep(0)
    raise Refused(args)


def call(wrapper, function, *args, **kwargs):
    return guarded(wrapper, "library:function", awaits=False)(function, None, args, kwargs)


async def call_async(wrapper, function, *args, **kwargs):
    return await guarded(wrapper, "library:function", awaits=True)(function, None, args, kwargs)


def yields(wrapped, instance, args, kwargs):
    yield


def calls(wrapped, instance, args, kwargs):
    return wrapped(*args, **kwargs)


async def awaits(wrapped, instance, args, kwargs):
    return await wrapped(*args, **kwargs)


def fails_before_yield(wrapped, instance, args, kwargs):
    kwargs["spoiled"] = True
    raise ZeroDivisionError
    yield


def fails_after_yield(wrapped, instance, args, kwargs):
    yield
    raise ZeroDivisionError


def fails_when_told_of_the_error(wrapped, instance, args, kwargs):
    try:
        yield
    except Refused:
        raise ZeroDivisionError from None


def yields_twice(wrapped, instance, args, kwargs):
    yield
    yield


def yields_nonsense(wrapped, instance, args, kwargs):
    yield 7


def fails_before_call(wrapped, instance, args, kwargs):
    kwargs["spoiled"] = True
    raise ZeroDivisionError


def fails_after_call(wrapped, instance, args, kwargs):
    wrapped(*args, **kwargs)
    raise ZeroDivisionError


def hides_the_error(wrapped, instance, args, kwargs):
    try:
        return wrapped(*args, **kwargs)
    except Refused:
        return "all is well"


def replaces_the_error(wrapped, instance, args, kwargs):
    try:
        return wrapped(*args, **kwargs)
    except Refused:
        raise ZeroDivisionError from None


async def fails_before_await(wrapped, instance, args, kwargs):
    raise ZeroDivisionError


async def fails_between_call_and_await(wrapped, instance, args, kwargs):
    wrapped(*args, **kwargs)
    raise ZeroDivisionError


async def fails_after_await(wrapped, instance, args, kwargs):
    await wrapped(*args, **kwargs)
    raise ZeroDivisionError


async def hides_the_error_of_a_coroutine(wrapped, instance, args, kwargs):
    try:
        return await wrapped(*args, **kwargs)
    except Refused:
        return "all is well"


FAULTS = [fails_before_yield, fails_after_yield, yields_twice, yields_nonsense, fails_before_call, fails_after_call]
COROUTINE_FAULTS = [
    *FAULTS[:4],
    fails_before_call,
    fails_before_await,
    fails_between_call_and_await,
    fails_after_await,
]


@pytest.mark.parametrize("wrapper", [yields, calls])
def test_a_wrapper_gives_what_the_original_gives(wrapper):
    assert call(wrapper, original, 1, key=2) == ((1,), {"key": 2})


@pytest.mark.parametrize("wrapper", [yields, calls, awaits])
async def test_a_wrapper_gives_what_a_coroutine_function_gives(wrapper):
    assert await call_async(wrapper, original_coroutine, 1, key=2) == ((1,), {"key": 2})


@pytest.mark.parametrize("wrapper", FAULTS)
def test_a_fault_of_a_wrapper_leaves_one_call_with_the_arguments_and_the_result_of_the_caller(wrapper, faults):
    seen = []

    def function(*args, **kwargs):
        seen.append((args, kwargs))
        return "result"

    assert call(wrapper, function, 1, key=2) == "result"
    assert seen == [((1,), {"key": 2})]
    assert faults["wrapper of library:function"] == 1


@pytest.mark.parametrize("wrapper", COROUTINE_FAULTS)
async def test_a_fault_of_a_wrapper_leaves_one_awaited_call_with_the_result_of_the_caller(wrapper, faults):
    seen = []

    async def function(*args, **kwargs):
        await asyncio.sleep(0)
        seen.append((args, kwargs))
        return "result"

    assert await call_async(wrapper, function, 1, key=2) == "result"
    assert seen == [((1,), {"key": 2})]
    assert faults["wrapper of library:function"] == 1


@pytest.mark.parametrize("wrapper", [yields, calls, fails_when_told_of_the_error, replaces_the_error, hides_the_error])
def test_what_the_original_raises_reaches_the_caller_as_the_same_object(wrapper, faults):
    error = Refused("me")

    def function():
        raise error

    with pytest.raises(Refused) as caught:
        call(wrapper, function)
    assert caught.value is error
    assert error.__context__ is None


@pytest.mark.parametrize("wrapper", [yields, calls, awaits, fails_when_told_of_the_error])
async def test_what_a_coroutine_raises_reaches_the_caller_as_the_same_object(wrapper, faults):
    error = Refused("me")

    async def function():
        raise error

    with pytest.raises(Refused) as caught:
        await call_async(wrapper, function)
    assert caught.value is error


async def test_a_wrapper_cannot_hide_the_error_of_a_coroutine():
    with pytest.raises(Refused):
        await call_async(hides_the_error_of_a_coroutine, refuse_later)


def test_the_traceback_of_an_error_grows_by_one_frame_of_a_generator_wrapper():
    with pytest.raises(Refused) as caught:
        call(yields, refuse)
    names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert names == [
        "test_the_traceback_of_an_error_grows_by_one_frame_of_a_generator_wrapper",
        "call",
        "around",
        "refuse",
    ]


def test_a_wrapper_may_hand_on_other_arguments_and_return_another_result():
    def wrapper(wrapped, instance, args, kwargs):
        result = yield (*args, 2), {**kwargs, "more": 3}
        return "seen", result

    assert call(wrapper, original, 1) == ("seen", ((1, 2), {"more": 3}))


def test_a_wrapper_that_has_nothing_to_do_may_return_before_it_yields():
    def wrapper(wrapped, instance, args, kwargs):
        if args:
            return
        yield

    assert call(wrapper, original, 1) == ((1,), {})


def test_stop_iteration_of_the_original_is_no_fault_of_the_wrapper(faults):
    with pytest.raises(StopIteration):
        call(yields, iter(()).__next__)
    assert not faults


def test_keyboard_interrupt_passes_and_is_told_to_the_wrapper():
    told = []

    def wrapper(wrapped, instance, args, kwargs):
        try:
            yield
        except KeyboardInterrupt as error:
            told.append(error)

    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        call(wrapper, interrupted)
    assert told == [caught.value]


async def test_a_cancelled_coroutine_is_cancelled_and_its_wrapper_is_told():
    told = []

    async def forever():
        await asyncio.Event().wait()

    def wrapper(wrapped, instance, args, kwargs):
        try:
            yield
        except asyncio.CancelledError as error:
            told.append(type(error))

    task = asyncio.create_task(call_async(wrapper, forever))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert told == [asyncio.CancelledError]


async def test_the_wrapper_of_a_coroutine_function_runs_in_the_task_that_awaits_it():
    tasks = []

    def wrapper(wrapped, instance, args, kwargs):
        tasks.append(asyncio.current_task())
        yield

    task = asyncio.create_task(call_async(wrapper, original_coroutine))
    await task
    assert tasks == [task]


def test_the_original_that_a_wrapper_is_given_answers_as_the_function_does():
    def wrapper(wrapped, instance, args, kwargs):
        return wrapped.__name__

    assert call(wrapper, original) == "original"


def test_a_fault_is_raised_under_the_test_kit(monkeypatch):
    monkeypatch.setattr(guard, "strict", True)
    with pytest.raises(ZeroDivisionError):
        call(fails_after_yield, original)


def test_a_coroutine_function_refuses_wrong_arguments_when_it_is_called():
    async def takes_one(argument):
        pass

    around = guarded(yields, "library:function", awaits=True)
    with pytest.raises(TypeError, match="missing 1 required"):
        around(takes_one, None, (), {})
