"""The OpenTelemetry protocol: `encode` turns finished spans into bytes, `decode` turns anybody's into `SpanData`."""
