"""An ONNX graph behind gRPC."""

import json
import os
from concurrent import futures

import grpc
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(os.environ["GRAPH"], providers=["CPUExecutionProvider"])


def embed(request, context):
    (values,) = session.run(None, {"x": np.array(request, dtype=np.float32)})
    return values.tolist()


def stream(request, context):
    for _ in range(2):
        yield embed(request, context)


def handler(make, behavior):
    return make(behavior, request_deserializer=json.loads, response_serializer=lambda value: json.dumps(value).encode())


def serve():
    methods = {
        "Embed": handler(grpc.unary_unary_rpc_method_handler, embed),
        "Stream": handler(grpc.unary_stream_rpc_method_handler, stream),
    }
    server = grpc.server(futures.ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("models.Embedder", methods)])
    server.add_insecure_port(f"127.0.0.1:{os.environ['EMBEDDER_PORT']}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve()
