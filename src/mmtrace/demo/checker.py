"""The digit checker: an ONNX model behind HTTP that serves many requests in one batch.

Requests wait in a lane until a batch is full or its time is up. The lane for people waits 5 ms, the one for bulk work
waits long: a request that lands there by mistake is slow, and nothing but its trace says why.
"""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import onnxruntime
import uvicorn
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import mmtrace

LANES = {"interactive": 0.005, "bulk": 0.4}
"""Seconds that a lane waits for its batch to fill."""
BATCH_SIZE = 8


def build_model() -> bytes:
    """Train a small network on the handwritten digits and return it as a serialized ONNX model."""
    images, digits = load_digits(return_X_y=True)
    network = MLPClassifier((32,), max_iter=300, random_state=7, early_stopping=True).fit(images, digits)
    parameters = zip(["w0", "w1", "b0", "b1"], [*network.coefs_, *network.intercepts_], strict=True)
    nodes = [
        helper.make_node("Gemm", ["pixels", "w0", "b0"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w1", "b1"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "digit-network",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [None, 64])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 10])],
        [numpy_helper.from_array(values.astype(np.float32), name) for name, values in parameters],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


class Checker:
    """Gives the probability of a digit, for a whole batch of images at once."""

    def __init__(self) -> None:
        self._session = onnxruntime.InferenceSession(build_model(), providers=["CPUExecutionProvider"])
        self._lanes: dict[str, asyncio.Queue[Any]] = {lane: asyncio.Queue() for lane in LANES}

    async def check(self, pixels: list[float], digit: int, lane: str) -> float:
        """Return the probability that `pixels` show `digit`, once the batch of the lane has run."""
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        await self._lanes[lane].put((mmtrace.enqueue(), pixels, digit, answer))
        return await answer

    async def work(self, lane: str) -> None:
        """Run the batches of `lane`, for ever."""
        while True:
            requests = await self._collect(self._lanes[lane], LANES[lane])
            with mmtrace.batch("digit-checker", [ticket for ticket, *_ in requests], version="3", task="classify"):
                images = np.array([pixels for _, pixels, *_ in requests], dtype=np.float32)
                (probabilities,) = self._session.run(None, {"pixels": images})
            for row, (_, _, digit, answer) in zip(np.asarray(probabilities), requests, strict=True):
                if not answer.done():
                    answer.set_result(float(row[digit]))

    async def _collect(self, queue: "asyncio.Queue[Any]", patience: float) -> list[Any]:
        requests = [await queue.get()]
        deadline = asyncio.get_running_loop().time() + patience
        while len(requests) < BATCH_SIZE:
            left = deadline - asyncio.get_running_loop().time()
            try:
                requests.append(await asyncio.wait_for(queue.get(), left))
            except asyncio.TimeoutError:
                break
        return requests


def create_app() -> Starlette:
    """Return the service: `POST /check` with `pixels`, `digit` and `lane`."""
    checker = Checker()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        workers = [asyncio.create_task(checker.work(lane)) for lane in LANES]
        yield
        for worker in workers:
            worker.cancel()

    async def check(request: Request) -> JSONResponse:
        asked = await request.json()
        return JSONResponse({"probability": await checker.check(asked["pixels"], asked["digit"], asked["lane"])})

    return Starlette(routes=[Route("/check", check, methods=["POST"])], lifespan=lifespan)


if __name__ == "__main__":
    mmtrace.configure(service="digit-checker")
    mmtrace.instrument()
    uvicorn.run(create_app(), host="127.0.0.1", port=int(os.environ.get("CHECKER_PORT", "8001")), log_level="warning")
