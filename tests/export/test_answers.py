"""What receivers answer, read without protobuf, is what protobuf reads."""

import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsPartialSuccess,
    ExportMetricsServiceResponse,
)

from mmtrace.export.answers import fields, partial_success, retry_delay, status_message


def packed(message):
    detail = Any()
    detail.Pack(message)
    return detail


@given(st.integers(0, 2**62), st.text(max_size=300))
def test_a_partial_success_is_read(rejected, message):
    partial = ExportMetricsPartialSuccess(rejected_data_points=rejected, error_message=message)
    response = ExportMetricsServiceResponse(partial_success=partial)
    assert partial_success(response.SerializeToString()) == (rejected, message)


@given(st.integers(0, 10**6), st.integers(0, 999_999_999), st.text(max_size=50))
def test_a_delay_is_found_among_other_details(seconds, nanos, message):
    info = RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))
    status = Status(code=14, message=message, details=[packed(ErrorInfo(reason="x")), packed(info)])
    data = status.SerializeToString()
    assert retry_delay(data) == pytest.approx(seconds + nanos / 1e9)
    assert status_message(data) == message


def test_no_details_mean_no_delay():
    assert retry_delay(Status(code=14, message="x").SerializeToString()) is None


@given(st.binary(max_size=60))
def test_damaged_bytes_are_read_as_far_as_they_go(data):
    list(fields(data))
    partial_success(data)
    retry_delay(data)
    status_message(data)
