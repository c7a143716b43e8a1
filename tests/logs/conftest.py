import io
import json
import logging

import pytest
from opentelemetry._logs import _internal as api
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource

from mmtrace.export.otlp_http import OtlpHttp
from mmtrace.export.target import Target
from mmtrace.logs import JsonHandler
from mmtrace.transport import Pipeline, Signal
from mmtrace.transport.logs import LogSink


@pytest.fixture
def logger():
    """A logger of its own, that takes everything and tells nobody else."""
    made = logging.Logger("shop.basket", logging.DEBUG)
    made.propagate = False
    return made


@pytest.fixture
def lines(logger):
    """What the logger writes as JSON, line by line."""
    stream = io.StringIO()
    logger.addHandler(JsonHandler(stream))
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.fixture
def arrived(receiver, monkeypatch):
    """What the receiver has got of records, as (scope, record) in order."""
    pipeline = Pipeline(OtlpHttp({Signal.LOGS: Target(f"{receiver.url}/v1/logs")}))
    provider = LoggerProvider(Resource({"service.name": "shop"}), shutdown_on_exit=False)
    provider.add_log_record_processor(LogSink([pipeline]))
    monkeypatch.setattr(api, "_LOGGER_PROVIDER", provider)

    def arrived():
        assert pipeline.flush(10).waiting == 0
        requests = [ExportLogsServiceRequest.FromString(body) for body in receiver.bodies["/v1/logs"]]
        return [
            (scope.scope.name, record)
            for request in requests
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    yield arrived
    pipeline.shutdown(10)
