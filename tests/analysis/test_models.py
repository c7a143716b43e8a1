import pytest

from mmtrace import attributes as names
from mmtrace.analysis import model_figures

EPOCH = 1_800_000_000_000_000_000


def figures(*traces, seconds=10):
    found = model_figures(traces, EPOCH, EPOCH + seconds * 10**9, parts=10)
    return {it.model: it for it in found}


def test_calls_and_tokens_are_counted_per_second_of_the_asked_time(story):
    told = story()
    root = told.span("ask", 0, 1000)
    told.call("llm", 0, 100, parent=root, **{names.OUTPUT_TOKENS: 50})
    told.call("llm", 500, 600, parent=root, **{names.GEN_AI_USAGE_OUTPUT_TOKENS: 150})
    llm = figures(told.trace)["llm"]
    assert (llm.calls, llm.rate, llm.tokens_rate) == (2, 0.2, 20.0)


def test_the_error_ratio_leaves_cancelled_calls_out(story):
    told = story()
    root = told.span("ask", 0, 1000)
    told.call("llm", 0, 1, parent=root, error=True, **{names.OUTCOME: "error"})
    told.call("llm", 1, 2, parent=root, **{names.OUTCOME: "ok"})
    for start in range(2, 10):
        told.call("llm", start, start + 1, parent=root, **{names.OUTCOME: "cancelled"})
    llm = figures(told.trace)["llm"]
    assert (llm.calls, llm.errors, llm.error_ratio) == (10, 1, 0.5)


def test_a_foreign_call_of_a_model_is_an_error_by_its_status(story):
    told = story()
    told.span("chat gpt", 0, 10, error=True, **{names.GEN_AI_REQUEST_MODEL: "gpt"})
    assert figures(told.trace)["gpt"].error_ratio == 1.0


def test_percentiles_come_from_the_durations_of_calls(story):
    told = story()
    root = told.span("ask", 0, 1000)
    for milliseconds in range(1, 101):
        told.call("ocr", 0, milliseconds, parent=root)
    ocr = figures(told.trace)["ocr"]
    assert (ocr.p50, ocr.p95, ocr.p99) == pytest.approx((0.0505, 0.09505, 0.09901))


def test_time_to_first_output_and_queue_time_are_known_only_where_recorded(story):
    told = story()
    root = told.span("ask", 0, 1000)
    told.call("plain", 0, 10, parent=root)
    told.call("llm", 10, 100, parent=root, compute_at=30, queue=20, first=60)
    found = figures(told.trace)
    assert (found["plain"].first_output_p95, found["plain"].queue_p95, found["plain"].tokens_rate) == (None, None, None)
    assert (found["llm"].first_output_p95, found["llm"].queue_p95) == pytest.approx((0.050, 0.020))


def test_a_batch_counts_for_its_size_only_and_its_requests_for_the_calls(story):
    batches, requests = story(), []
    for _ in range(4):
        requests.append(story())
        requests[-1].span("POST /check", 0, 100, service="checker")
    served = [told.spans[0] for told in requests]
    batch = batches.call("checker", 60, 90, name="batch checker", links=served, **{names.BATCH_SIZE: 4})
    batches.call("net.onnx", 61, 89, parent=batch, **{names.MODEL_FRAMEWORK: "onnxruntime"})
    for told in requests:
        share = {"queue": 50, "compute_at": 60, "links": [batch], names.BATCH_SIZE: 4}
        told.call("checker", 10, 90, parent=told.spans[0], service="checker", **share)
    found = figures(batches.trace, *(told.trace for told in requests))
    assert list(found) == ["checker"]
    checker = found["checker"]
    assert (checker.calls, checker.batch_size) == (4, 4.0)
    assert (checker.waiting, checker.computing) == pytest.approx((0.2, 0.12))
    assert checker.share == pytest.approx(0.8)


def test_models_are_sorted_by_their_share_of_all_time(story):
    told = story()
    root = told.span("ask", 0, 100)
    told.call("small", 0, 10, parent=root)
    told.call("large", 10, 80, parent=root)
    found = model_figures([told.trace], EPOCH, EPOCH + 10**9)
    assert [(it.model, round(it.share, 3)) for it in found] == [("large", 0.7), ("small", 0.1)]


def test_the_history_counts_calls_in_equal_parts_of_the_time(story):
    told = story()
    root = told.span("ask", 0, 10_000)
    for start in (0, 10, 5_000, 9_999):
        told.call("ocr", start, start + 1, parent=root)
    assert figures(told.trace)["ocr"].history == (2, 0, 0, 0, 0, 1, 0, 0, 0, 1)


def test_without_traces_there_are_no_models():
    assert model_figures([], EPOCH, EPOCH) == ()
