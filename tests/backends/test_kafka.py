"""Kafka between the gateway and Jaeger: the files of production, only that Jaeger keeps the traces in memory."""

import json
import time

import pytest
import yaml

from backends.running import CONFIG
from backends.stack import Jaeger, by_trace, differences, gateway
from brokers import KafkaBroker
from mmtrace.otlp.decode import decode_traces_json, to_json
from traffic import Pipeline, Scribe, send

PROTOCOL = "2.0.0"
"""The newest that the broker of these tests speaks: confluent-kafka's own, which keeps nothing."""


@pytest.fixture
def kafka():
    with KafkaBroker() as broker:
        yield broker.servers


@pytest.fixture
def jaeger(tmp_path, kafka):
    """Jaeger with jaeger-opensearch.yaml, in front of a memory instead of OpenSearch."""
    config = yaml.safe_load((CONFIG / "jaeger-opensearch.yaml").read_text())
    config["extensions"]["jaeger_storage"]["backends"] = {"opensearch": {"memory": {"max_traces": 100_001}}}
    config["receivers"]["kafka"]["protocol_version"] = PROTOCOL
    file = tmp_path / "jaeger-in-memory.yaml"
    file.write_text(yaml.safe_dump(config))
    with Jaeger(tmp_path / "jaeger", files=(file,), KAFKA_BROKER=kafka) as running:
        yield running


def test_spans_go_through_kafka_as_they_were_sent(tmp_path, kafka, jaeger):
    scribe = Scribe(time.time_ns())
    pipeline = Pipeline(scribe)
    for number in range(10):
        pipeline.request(at=number * 5.0)
    pipeline.batch()
    sent = by_trace(decode_traces_json(json.dumps(to_json(scribe.spans))))
    older = tmp_path / "older-protocol.yaml"
    older.write_text(yaml.safe_dump({"exporters": {"kafka/spans": {"protocol_version": PROTOCOL}}}))
    files = ("gateway-keep-all.yaml", "gateway-kafka.yaml", older)
    with gateway(tmp_path / "gateway", *files, jaeger="127.0.0.1:9", KAFKA_BROKER=kafka) as first:
        send(first.url, scribe.spans)
        held = jaeger.once_it_holds(sent.values())
    assert held.keys() == sent.keys()
    assert [differences(held[trace_id], trace) for trace_id, trace in sent.items()] == [[]] * len(sent)
