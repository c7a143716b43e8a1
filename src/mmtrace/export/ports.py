"""Ports that are taken for OTLP receivers: what listens there as a rule, and where OTLP is received."""

from typing import Final
from urllib.parse import urlsplit

_GRPC: Final = "OTLP over gRPC (OTEL_EXPORTER_OTLP_PROTOCOL=grpc)"
_HTTP: Final = "OTLP over HTTP (OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)"
_USUAL: Final = {
    3000: "the pages of Grafana",
    3100: "Loki",
    3200: "the API of Tempo",
    4317: _GRPC,
    4318: _HTTP,
    8888: "the metrics of a Collector",
    8889: "the Prometheus endpoint of a Collector",
    9090: "Prometheus",
    9411: "Zipkin's format",
    13133: "the health of a Collector",
    14250: "Jaeger's old protocol over gRPC",
    14268: "Jaeger's old format over HTTP",
    16685: "the queries of Jaeger over gRPC",
    16686: "the pages of Jaeger",
    16687: "the administration of Jaeger",
}


def mistaken(url: str, right: int) -> str:
    """Return a sentence for an address whose port is known for something else than `right`; nothing for others."""
    try:
        port = urlsplit(url if "://" in url else f"//{url}").port
    except ValueError:
        return ""
    if port not in _USUAL or port == right:
        return ""
    return f". Port {port} is that of {_USUAL[port]} as a rule; {_USUAL[right]} has port {right}"
