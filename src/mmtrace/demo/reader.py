"""The digit reader: a scikit-learn classifier behind gRPC."""

import json
import os
import signal
from concurrent import futures
from typing import Any

import grpc
import numpy as np
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

import mmtrace


class Reader:
    """Reads the digit in an image of 8 by 8 pixels (64 floats from 0 to 16)."""

    def __init__(self) -> None:
        images, digits = load_digits(return_X_y=True)
        self._classifier = RandomForestClassifier(n_estimators=20, random_state=7).fit(images, digits)

    @mmtrace.model("digit-reader", version="1", task="ocr")
    def read(self, pixels: list[float]) -> dict[str, Any]:
        """Return the most probable digit and its probability."""
        probabilities = self._classifier.predict_proba(np.array([pixels]))[0]
        digit = int(probabilities.argmax())
        return {"digit": digit, "certainty": float(probabilities[digit])}


def serve(address: str) -> None:
    """Answer `digits.Reader/Read` on `address` until the process is stopped."""
    reader = Reader()
    method = grpc.unary_unary_rpc_method_handler(
        lambda request, _context: reader.read(request["pixels"]),
        request_deserializer=json.loads,
        response_serializer=lambda answer: json.dumps(answer).encode(),
    )
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("digits.Reader", {"Read": method}),))
    server.add_insecure_port(address)
    server.start()
    signal.signal(signal.SIGTERM, lambda *_: server.stop(grace=5))
    server.wait_for_termination()


if __name__ == "__main__":
    mmtrace.configure(service="digit-reader")
    mmtrace.instrument()
    serve(os.environ.get("READER_ADDRESS", "127.0.0.1:50051"))
