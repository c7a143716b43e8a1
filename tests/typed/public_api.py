"""A program that uses every verb; mypy and pyright must accept it, and know what each verb gives."""

from collections.abc import AsyncIterator, Iterator

from opentelemetry.context import Context
from opentelemetry.trace import Span
from typing_extensions import assert_type

import mmtrace
from mmtrace.calls import Batch, ModelCall, Ticket
from mmtrace.transport import FlushResult


@mmtrace.model("reranker", version="2026-10", task="rerank")
def rerank(query: str, documents: list[str]) -> list[str]:
    return sorted(documents)


@mmtrace.model("embedder", task="embed", framework="onnxruntime")
async def embed(text: str) -> list[float]:
    return [float(len(text))]


@mmtrace.model("writer", task="generate")
def write(prompt: str) -> Iterator[str]:
    yield prompt


@mmtrace.model("writer", task="generate")
async def write_later(prompt: str) -> AsyncIterator[str]:
    yield prompt


@mmtrace.pipeline("answer")
def answer(query: str) -> list[str]:
    with mmtrace.stage("parse"):
        return rerank(query, [query])


async def main() -> None:
    mmtrace.configure(service="example", sampler="always_on")
    mmtrace.instrument()
    assert_type(rerank("a", ["b"]), list[str])
    assert_type(await embed("a"), list[float])
    assert_type(answer("a"), list[str])
    assert_type(list(write("a")), list[str])
    async for word in write_later("a"):
        assert_type(word, str)
    with mmtrace.model_call("ocr", task="ocr", batch_size=8) as call:
        assert_type(call, ModelCall)
        call.set(output_tokens=120)
        call.content(input=lambda: "text", output="answer")
    with mmtrace.span("anything", attributes={"a.b": 1}, key=2) as span:
        assert_type(span, Span)
    carrier = mmtrace.inject(dict[str, str]())
    assert_type(carrier, dict[str, str])
    with mmtrace.attach(carrier) as context:
        assert_type(context, Context)
    ticket = mmtrace.enqueue()
    assert_type(ticket, Ticket)
    with mmtrace.batch("embed", [ticket, carrier]) as batch:
        assert_type(batch, Batch)
    mmtrace.keep()
    assert_type(mmtrace.flush(timeout=5), FlushResult)
    assert_type(await mmtrace.aflush(), FlushResult)
    assert_type(await mmtrace.ashutdown(), FlushResult)
