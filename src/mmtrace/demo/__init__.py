"""The demo: a scanned digit is read, checked and described by three models in four processes.

    client -> gateway (HTTP) -> reader (gRPC, scikit-learn)
                             -> checker (HTTP, onnxruntime, dynamic batching)
                             -> narrator (queue, a word model, streamed)

Each service is written as a user would write it, and may be read as an example.
"""
