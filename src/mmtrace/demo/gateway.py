"""The gateway: takes an image over HTTP, asks three models, and streams the answer."""

import json
import os
from typing import Any

import grpc
import httpx
import uvicorn
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from opentelemetry import trace
from pydantic import BaseModel

import mmtrace
from mmtrace.demo.narrator import NarratorClient


class Image(BaseModel):
    """A scanned digit: 64 floats from 0 to 16, and the lane that its check takes."""

    pixels: list[float]
    lane: str = "interactive"


class Models:
    """Clients of the three services that hold the models."""

    def __init__(self, reader: str, checker: str, narrator: tuple[str, int]) -> None:
        self._read = grpc.insecure_channel(reader).unary_unary(
            "/digits.Reader/Read",
            request_serializer=lambda request: json.dumps(request).encode(),
            response_deserializer=json.loads,
        )
        limits = httpx.Limits(keepalive_expiry=2)  # the server closes what is idle for five seconds
        self._checker = httpx.Client(base_url=checker, timeout=30, limits=limits)
        self._narrator = NarratorClient(narrator)

    @mmtrace.pipeline("describe-digit")
    def describe(self, image: Image) -> tuple[dict[str, Any], Any]:
        """Return what was read, with the checker's probability, and the words that describe it as they come."""
        reading = self._read({"pixels": image.pixels}, timeout=30)
        question = {"pixels": image.pixels, "digit": reading["digit"], "lane": image.lane}
        answer = self._checker.post("/check", json=question).raise_for_status().json()
        return {**reading, **answer}, self._narrator.narrate(reading["digit"])


def create_app(models: Models) -> FastAPI:
    """Return the service: `POST /describe` answers with a line of JSON and then with words as they come."""
    app = FastAPI()

    @app.post("/describe")
    def describe(image: Image) -> StreamingResponse:
        reading, words = models.describe(image)
        trace_id = trace.format_trace_id(trace.get_current_span().get_span_context().trace_id)

        def answer() -> Any:
            yield json.dumps(reading) + "\n"
            yield from words

        return StreamingResponse(answer(), media_type="text/plain", headers={"x-trace-id": trace_id})

    return app


def main() -> None:
    """Serve on the port and with the model services that the environment names."""
    mmtrace.configure(service="gateway")
    mmtrace.instrument()
    narrator = ("127.0.0.1", int(os.environ.get("NARRATOR_PORT", "50052")))
    checker = f"http://127.0.0.1:{os.environ.get('CHECKER_PORT', '8001')}"
    models = Models(os.environ.get("READER_ADDRESS", "127.0.0.1:50051"), checker, narrator)
    port = int(os.environ.get("GATEWAY_PORT", "8000"))
    uvicorn.run(create_app(models), host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
