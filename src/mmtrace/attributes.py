"""Every attribute key and metric name that mmtrace writes or reads, each defined once.

Sources: mmtrace's own names are a contract of this project; the standard ones follow the OpenTelemetry semantic
conventions 1.44 and the GenAI conventions 1.41 (https://opentelemetry.io/docs/specs/semconv/).
"""

from dataclasses import dataclass
from typing import Final, Literal

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
"""The schema that the spans of mmtrace's own scope follow."""

SCOPE: Final = "mmtrace"
"""The name of mmtrace's own instrumentation scope."""

# --- a model call ---------------------------------------------------------------------------------------------------

MODEL_NAME: Final = "mmtrace.model.name"
"""string: the model, as the user or its runtime names it; low cardinality."""
MODEL_VERSION: Final = "mmtrace.model.version"
"""string: the version of the model, as the user or its runtime names it."""
MODEL_FRAMEWORK: Final = "mmtrace.model.framework"
"""string: the runtime: torch, transformers, onnxruntime, sklearn, ..."""
MODEL_TASK: Final = "mmtrace.model.task"
"""string: infer, generate, embed, rerank, classify, regress, detect, segment, ocr, asr, tts, transform or route."""
MODEL_DEVICE: Final = "mmtrace.model.device"
"""string: where it runs: `cpu`, `cuda:0`."""
MODEL_DTYPE: Final = "mmtrace.model.dtype"
"""string: the type of its weights: `float32`, `bfloat16`."""
MODEL_PARAMETERS: Final = "mmtrace.model.parameters"
"""int: number of parameters, where it is cheap to know."""
MODEL_PHASE: Final = "mmtrace.model.phase"
"""string: load, warmup or steady."""
PIPELINE_NAME: Final = "mmtrace.pipeline.name"
"""string: the pipeline that a request runs through."""
STAGE_NAME: Final = "mmtrace.stage.name"
"""string: a stage of a pipeline that is not a model call."""
OUTCOME: Final = "mmtrace.outcome"
"""string: ok, error or cancelled."""
BATCH_SIZE: Final = "mmtrace.batch.size"
"""int: requests in this batch."""
BATCH_PADDING_RATIO: Final = "mmtrace.batch.padding_ratio"
"""double, 0 to 1: share of the computed input that is padding."""
INPUT_SHAPES: Final = "mmtrace.input.shapes"
"""string[]: shapes of the inputs, `8x3x224x224`; never their values."""
INPUT_DTYPES: Final = "mmtrace.input.dtypes"
"""string[]: element types of the inputs."""
INPUT_TOKENS: Final = "mmtrace.input.tokens"
"""int: tokens given to the model."""
OUTPUT_TOKENS: Final = "mmtrace.output.tokens"
"""int: tokens that the model produced."""
INPUT_BYTES: Final = "mmtrace.input.bytes"
"""int: size of the input."""
INPUT_CONTENT: Final = "mmtrace.input.content"
"""string: what the model was given; only while content capture is on, redacted and bounded."""
OUTPUT_CONTENT: Final = "mmtrace.output.content"
"""string: what the model answered; only while content capture is on, redacted and bounded."""
QUEUE_DURATION: Final = "mmtrace.queue.duration"
"""double, seconds: from the arrival of a request to the start of compute."""
QUEUE_SKEWED: Final = "mmtrace.queue.skewed"
"""bool: arrival and start came from clocks that disagree; the wait was set to 0."""
DEVICE_DURATION: Final = "mmtrace.device.duration"
"""double, seconds: time on the accelerator."""
TIME_TO_FIRST_OUTPUT: Final = "mmtrace.time_to_first_output"
"""double, seconds: from the start of a stream to its first item."""
OUTPUT_COUNT: Final = "mmtrace.output.count"
"""int: items of a stream."""
OUTPUT_STALLS: Final = "mmtrace.output.stalls"
"""int: gaps between items of a stream that are over five times the median gap."""
STREAM_END: Final = "mmtrace.stream.end"
"""string: exhausted, closed, cancelled, error or abandoned."""
CONSUMER_DURATION: Final = "mmtrace.consumer.duration"
"""double, seconds: time that the consumer of a stream held it between items."""
DEADLINE: Final = "mmtrace.deadline"
"""double, seconds: latency budget of the request."""
DEADLINE_LEFT: Final = "mmtrace.deadline.left"
"""double, seconds: what is left of the latency budget."""
EXEMPLAR: Final = "mmtrace.exemplar"
"""bool: a metric points at this span as its example; tail sampling keeps its trace."""
KEEP: Final = "mmtrace.keep"
"""bool, also as baggage: somebody asked tail sampling to keep this trace."""
ARRIVAL_FIELD: Final = "mmtrace-arrival"
"""field of a carrier: when the request arrived, Unix nanoseconds in decimal."""
COMPUTE_START: Final = "mmtrace.compute.start"
"""event: the request left the queue and its batch began to compute."""
FIRST_OUTPUT: Final = "mmtrace.first_output"
"""event: a stream produced its first item."""
OUTPUT_STALL: Final = "mmtrace.output.stall"
"""event: an item of a stream came after over five times the median gap."""
CONTENT_EVENT: Final = "gen_ai.client.inference.operation.details"
"""event: what a model was given and answered, where content goes to events."""

# --- standard names -------------------------------------------------------------------------------------------------

SERVICE_NAME: Final = "service.name"
"""string, resource: the service; `job` in Prometheus."""
SERVICE_VERSION: Final = "service.version"
"""string, resource: the version of the service."""
SERVICE_INSTANCE_ID: Final = "service.instance.id"
"""string, resource: one process of the service; `instance` in Prometheus."""
TELEMETRY_SDK_NAME: Final = "telemetry.sdk.name"
"""string, resource: who recorded."""
TELEMETRY_SDK_VERSION: Final = "telemetry.sdk.version"
"""string, resource: the version of who recorded."""
PROCESS_PID: Final = "process.pid"
"""int, resource: the process."""

ERROR_TYPE: Final = "error.type"
"""string: class of the exception, a status code, or another low-cardinality id."""
EXCEPTION_TYPE: Final = "exception.type"
"""string, event: fully qualified class of the exception, bare for builtins."""
EXCEPTION_MESSAGE: Final = "exception.message"
"""string, event: what the exception says."""
EXCEPTION_STACKTRACE: Final = "exception.stacktrace"
"""string, event: the traceback."""
EXCEPTION_ESCAPED: Final = "exception.escaped"
"""string, event: whether the exception left the span."""

STATUS_DESCRIPTION: Final = "otel.status_description"
"""string: what the status of a span says; the key under which `redact` sees it."""

HTTP_REQUEST_METHOD: Final = "http.request.method"
"""string: GET, POST, ...; `_OTHER` for an unknown one."""
HTTP_REQUEST_METHOD_ORIGINAL: Final = "http.request.method_original"
"""string: the method as it came, where it is not a known one."""
HTTP_REQUEST_RESEND_COUNT: Final = "http.request.resend_count"
"""int: which resend of a request this is."""
HTTP_RESPONSE_STATUS_CODE: Final = "http.response.status_code"
"""int: the status code."""
HTTP_ROUTE: Final = "http.route"
"""string: the matched route, `/items/{id}`."""
URL_FULL: Final = "url.full"
"""string: the whole address, credentials left out."""
URL_SCHEME: Final = "url.scheme"
"""string: http or https."""
URL_PATH: Final = "url.path"
"""string: the path."""
URL_QUERY: Final = "url.query"
"""string: the query, secrets left out."""
USER_AGENT_ORIGINAL: Final = "user_agent.original"
"""string: the User-Agent header."""
SERVER_ADDRESS: Final = "server.address"
"""string: host name or address of the server."""
SERVER_PORT: Final = "server.port"
"""int: port of the server."""
CLIENT_ADDRESS: Final = "client.address"
"""string: address of the client."""
CLIENT_PORT: Final = "client.port"
"""int: port of the client."""
NETWORK_PROTOCOL_NAME: Final = "network.protocol.name"
"""string: the protocol, where it is not http."""
NETWORK_PROTOCOL_VERSION: Final = "network.protocol.version"
"""string: 1.1, 2, ..."""
NETWORK_PEER_ADDRESS: Final = "network.peer.address"
"""string: address of the peer of the connection."""
NETWORK_PEER_PORT: Final = "network.peer.port"
"""int: port of the peer of the connection."""

RPC_SYSTEM_NAME: Final = "rpc.system.name"
"""string: grpc, jsonrpc, ..."""
RPC_METHOD: Final = "rpc.method"
"""string: `package.Service/Method`, or `_OTHER`."""
RPC_METHOD_ORIGINAL: Final = "rpc.method_original"
"""string: the method as it came, where the server does not know it."""
RPC_RESPONSE_STATUS_CODE: Final = "rpc.response.status_code"
"""string: name of the status code, `DEADLINE_EXCEEDED`."""

MESSAGING_SYSTEM: Final = "messaging.system"
"""string: kafka, redis, rabbitmq, ..."""
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
"""string: the operation as the system names it: send, xadd, poll, ..."""
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
"""string: create, send, receive, process or settle."""
MESSAGING_DESTINATION_NAME: Final = "messaging.destination.name"
"""string: topic, queue or stream."""
MESSAGING_DESTINATION_PARTITION_ID: Final = "messaging.destination.partition.id"
"""string: the partition."""
MESSAGING_BATCH_MESSAGE_COUNT: Final = "messaging.batch.message_count"
"""int: messages in this batch; set on batches only."""
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
"""string: id of the message."""
MESSAGING_CLIENT_ID: Final = "messaging.client.id"
"""string: id of the client."""
MESSAGING_CONSUMER_GROUP_NAME: Final = "messaging.consumer.group.name"
"""string: the consumer group."""
MESSAGING_KAFKA_MESSAGE_KEY: Final = "messaging.kafka.message.key"
"""string: key of a Kafka message."""
MESSAGING_KAFKA_OFFSET: Final = "messaging.kafka.offset"
"""int: offset of a Kafka message."""
MESSAGING_KAFKA_MESSAGE_TOMBSTONE: Final = "messaging.kafka.message.tombstone"
"""bool: the Kafka message has no value."""

GEN_AI_OPERATION_NAME: Final = "gen_ai.operation.name"
"""string: chat, text_completion, generate_content, embeddings or retrieval."""
GEN_AI_PROVIDER_NAME: Final = "gen_ai.provider.name"
"""string: the provider; of a model that runs in this process, its framework."""
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
"""string: the model that was asked for."""
GEN_AI_USAGE_INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
"""int: tokens of the prompt."""
GEN_AI_USAGE_OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
"""int: tokens of the answer."""
GEN_AI_RESPONSE_TIME_TO_FIRST_CHUNK: Final = "gen_ai.response.time_to_first_chunk"
"""double, seconds: from the request to the first chunk of the answer."""
GEN_AI_SYSTEM_INSTRUCTIONS: Final = "gen_ai.system_instructions"
"""content: what the model was told to be; only while content capture is on."""
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
"""content: the messages that the model was given; only while content capture is on."""
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
"""content: the messages that the model answered; only while content capture is on."""

CPU_MODE: Final = "cpu.mode"
"""string: user or system."""
CPYTHON_GC_GENERATION: Final = "cpython.gc.generation"
"""int: 0, 1 or 2."""
HW_ID: Final = "hw.id"
"""string: of a piece of hardware; of a GPU, its UUID."""
HW_NAME: Final = "hw.name"
"""string: what the hardware is called on its host: `gpu0`."""
HW_MODEL: Final = "hw.model"
"""string: what its maker calls it."""
HW_VENDOR: Final = "hw.vendor"
"""string: its maker."""
HW_TYPE: Final = "hw.type"
"""string: gpu."""
HW_GPU_TASK: Final = "hw.gpu.task"
"""string: decoder, encoder or general."""

CODE_FILE_PATH: Final = "code.file.path"
"""string: the source file."""
CODE_FUNCTION_NAME: Final = "code.function.name"
"""string: the function."""
CODE_LINE_NUMBER: Final = "code.line.number"
"""int: the line of the source file."""

# --- fields of a line of log --------------------------------------------------------------------------------------

LOG_TIMESTAMP: Final = "timestamp"
"""field: RFC 3339, in UTC."""
LOG_LEVEL: Final = "level"
"""field: DEBUG, INFO, WARNING, ERROR, CRITICAL, or a level of the user's own."""
LOG_SERVICE: Final = "service"
"""field: the service."""
LOG_LOGGER: Final = "logger"
"""field: the name of the logger."""
LOG_MESSAGE: Final = "message"
"""field: what was said, arguments filled in."""
LOG_TRACE_ID: Final = "trace_id"
"""field: 32 hexadecimal digits."""
LOG_SPAN_ID: Final = "span_id"
"""field: 16 hexadecimal digits."""
LOG_MODEL: Final = "model"
"""field: the model of the call that was open."""
LOG_FIELDS: Final = "fields"
"""field: what was said beside the message, key by key."""
LOG_EXCEPTION: Final = "exception"
"""field: type, message and stacktrace of an exception."""

# --- names of former conventions ------------------------------------------------------------------------------------

RENAMED: Final = {
    "http.method": HTTP_REQUEST_METHOD,
    "http.status_code": HTTP_RESPONSE_STATUS_CODE,
    "http.url": URL_FULL,
    "http.scheme": URL_SCHEME,
    "http.user_agent": USER_AGENT_ORIGINAL,
    "http.client_ip": CLIENT_ADDRESS,
    "http.server_name": SERVER_ADDRESS,
    "net.host.name": SERVER_ADDRESS,
    "net.host.port": SERVER_PORT,
    "net.peer.name": SERVER_ADDRESS,
    "net.peer.port": SERVER_PORT,
    "net.peer.ip": NETWORK_PEER_ADDRESS,
    "net.sock.peer.addr": NETWORK_PEER_ADDRESS,
    "net.sock.peer.port": NETWORK_PEER_PORT,
    "net.protocol.name": NETWORK_PROTOCOL_NAME,
    "net.protocol.version": NETWORK_PROTOCOL_VERSION,
    "rpc.system": RPC_SYSTEM_NAME,
    "rpc.grpc.status_code": RPC_RESPONSE_STATUS_CODE,
    "messaging.operation": MESSAGING_OPERATION_TYPE,
    "messaging.destination": MESSAGING_DESTINATION_NAME,
    "messaging.message_id": MESSAGING_MESSAGE_ID,
    "messaging.client_id": MESSAGING_CLIENT_ID,
    "messaging.kafka.consumer.group": MESSAGING_CONSUMER_GROUP_NAME,
    "messaging.kafka.partition": MESSAGING_DESTINATION_PARTITION_ID,
    "messaging.kafka.destination.partition": MESSAGING_DESTINATION_PARTITION_ID,
    "messaging.kafka.message.offset": MESSAGING_KAFKA_OFFSET,
    "messaging.kafka.message_key": MESSAGING_KAFKA_MESSAGE_KEY,
    "gen_ai.system": GEN_AI_PROVIDER_NAME,
    "gen_ai.usage.prompt_tokens": GEN_AI_USAGE_INPUT_TOKENS,
    "gen_ai.usage.completion_tokens": GEN_AI_USAGE_OUTPUT_TOKENS,
    "db.system": "db.system.name",
    "db.name": "db.namespace",
    "db.statement": "db.query.text",
    "db.operation": "db.operation.name",
    "db.sql.table": "db.collection.name",
    "peer.service": "service.peer.name",
}
"""What an attribute of an earlier convention is called now."""
RENAMED_ON_SERVERS: Final = RENAMED | {"net.peer.name": CLIENT_ADDRESS, "net.peer.port": CLIENT_PORT}
"""The same on SERVER spans, whose peer is the client."""

# --- labels of metrics ----------------------------------------------------------------------------------------------

LABEL_MODEL: Final = "model"
"""label: the model's name."""
LABEL_VERSION: Final = "version"
"""label: the model's version, empty where there is none."""
LABEL_TASK: Final = "task"
"""label: the model's task."""
LABEL_FRAMEWORK: Final = "framework"
"""label: the model's runtime, empty where it is not known."""
LABEL_OUTCOME: Final = "outcome"
"""label: ok, error or cancelled."""
LABEL_DIRECTION: Final = "direction"
"""label: input or output."""
LABEL_PIPELINE: Final = "pipeline"
"""label: the pipeline's name."""
LABEL_REASON: Final = "reason"
"""label: why spans were dropped."""
LABEL_GENERATION: Final = "generation"
"""label: the oldest generation that a garbage collection looked at: 0, 1 or 2."""
METRIC_OVERFLOW: Final = "otel.metric.overflow"
"""label: the one set that takes every measurement beyond the limit of label sets."""

# --- metrics --------------------------------------------------------------------------------------------------------

TIME_BUCKETS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0,
)  # fmt: skip
"""Bounds of histograms of time, in seconds."""
COUNT_BUCKETS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Bounds of histograms of counts."""


@dataclass(frozen=True)
class Metric:
    """What a metric is called, counted in and made of; `labels` are the keys of its points."""

    name: str
    unit: str
    kind: Literal["histogram", "counter", "updown", "gauge"]
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_CALL = (LABEL_MODEL, LABEL_VERSION, LABEL_TASK, LABEL_FRAMEWORK)

CALL_DURATION: Final = Metric(
    "mmtrace.model.call.duration", "s", "histogram", "Duration of model calls.",
    (*_CALL, LABEL_OUTCOME, ERROR_TYPE), TIME_BUCKETS,
)  # fmt: skip
CALL_QUEUE_DURATION: Final = Metric(
    "mmtrace.model.call.queue.duration", "s", "histogram", "Time from arrival to start of compute.", _CALL, TIME_BUCKETS
)
CALL_DEVICE_DURATION: Final = Metric(
    "mmtrace.model.call.device.duration", "s", "histogram", "Time on the accelerator.", _CALL, TIME_BUCKETS
)
CALL_TIME_TO_FIRST_OUTPUT: Final = Metric(
    "mmtrace.model.call.time_to_first_output", "s", "histogram", "Time to the first item of a stream.",
    _CALL, TIME_BUCKETS,
)  # fmt: skip
CALL_TIME_PER_OUTPUT: Final = Metric(
    "mmtrace.model.call.time_per_output", "s", "histogram", "Mean time per item after the first.", _CALL, TIME_BUCKETS
)
MODEL_BATCH_SIZE: Final = Metric(
    "mmtrace.model.batch.size", "{request}", "histogram", "Requests per executed batch.", _CALL, COUNT_BUCKETS
)
CALLS_ACTIVE: Final = Metric("mmtrace.model.calls.active", "{call}", "updown", "Model calls that run now.", _CALL)
MODEL_TOKENS: Final = Metric(
    "mmtrace.model.tokens", "{token}", "counter", "Tokens in and out of models.", (*_CALL, LABEL_DIRECTION)
)
PIPELINE_DURATION: Final = Metric(
    "mmtrace.pipeline.duration", "s", "histogram", "Duration of pipelines.",
    (LABEL_PIPELINE, LABEL_OUTCOME, ERROR_TYPE), TIME_BUCKETS,
)  # fmt: skip
SDK_SPANS_STARTED: Final = Metric(
    "mmtrace.sdk.spans.started", "{span}", "counter", "Sampled spans that ended, and those that were adopted."
)
SDK_SPANS_ADOPTED: Final = Metric(
    "mmtrace.sdk.spans.adopted", "{span}", "counter", "Spans that an earlier process had left on disk."
)
SDK_SPANS_EXPORTED: Final = Metric("mmtrace.sdk.spans.exported", "{span}", "counter", "Spans a receiver accepted.")
SDK_SPANS_SAMPLED_OUT: Final = Metric("mmtrace.sdk.spans.sampled_out", "{span}", "counter", "Spans left out.")
SDK_SPANS_DROPPED: Final = Metric(
    "mmtrace.sdk.spans.dropped", "{span}", "counter", "Spans that could not be kept, by reason.", (LABEL_REASON,)
)
SDK_QUEUE_SPANS: Final = Metric("mmtrace.sdk.queue.spans", "{span}", "gauge", "Spans that wait to be sent.")
SDK_QUEUE_BYTES: Final = Metric("mmtrace.sdk.queue.bytes", "By", "gauge", "Bytes that wait to be sent.")
SDK_QUEUE_CAPACITY: Final = Metric("mmtrace.sdk.queue.capacity", "By", "gauge", "Bytes that may wait to be sent.")
SDK_SPOOL_SPANS: Final = Metric("mmtrace.sdk.spool.spans", "{span}", "gauge", "Spans that wait on disk.")
SDK_SPOOL_BYTES: Final = Metric("mmtrace.sdk.spool.bytes", "By", "gauge", "Bytes that wait on disk.")

_GEN_AI_BUCKETS: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
GEN_AI_OPERATION_DURATION: Final = Metric(
    "gen_ai.client.operation.duration", "s", "histogram", "Duration of operations of GenAI clients.",
    (GEN_AI_OPERATION_NAME, GEN_AI_PROVIDER_NAME, GEN_AI_REQUEST_MODEL, SERVER_ADDRESS, SERVER_PORT, ERROR_TYPE),
    _GEN_AI_BUCKETS,
)  # fmt: skip

GC_PAUSE: Final = Metric(
    "mmtrace.gc.pause", "s", "histogram", "Duration of garbage collections, in which the whole process stands.",
    (LABEL_GENERATION,), TIME_BUCKETS,
)  # fmt: skip
EVENT_LOOP_LAG: Final = Metric(
    "mmtrace.event_loop.lag", "s", "histogram", "How late callbacks of asyncio's event loops run.", (), TIME_BUCKETS
)

PROCESS_MEMORY_USAGE: Final = Metric("process.memory.usage", "By", "updown", "Physical memory that the process holds.")
PROCESS_MEMORY_LIMIT: Final = Metric(
    "process.memory.limit", "By", "updown", "Memory at which the control group of the process is full."
)
PROCESS_CPU_TIME: Final = Metric("process.cpu.time", "s", "counter", "CPU time of the process.", (CPU_MODE,))
PROCESS_THREAD_COUNT: Final = Metric("process.thread.count", "{thread}", "updown", "Threads of the process.")
PROCESS_FILE_DESCRIPTOR_COUNT: Final = Metric(
    "process.unix.file_descriptor.count", "{file_descriptor}", "updown", "File descriptors that the process has open."
)
GC_COLLECTIONS: Final = Metric(
    "cpython.gc.collections", "{collection}", "counter", "Garbage collections.", (CPYTHON_GC_GENERATION,)
)
GC_COLLECTED_OBJECTS: Final = Metric(
    "cpython.gc.collected_objects", "{object}", "counter", "Objects that were collected.", (CPYTHON_GC_GENERATION,)
)
GC_UNCOLLECTABLE_OBJECTS: Final = Metric(
    "cpython.gc.uncollectable_objects", "{object}", "counter", "Objects that could not be collected.",
    (CPYTHON_GC_GENERATION,),
)  # fmt: skip
_GPU = (HW_ID, HW_NAME, HW_MODEL, HW_VENDOR)
GPU_UTILIZATION: Final = Metric(
    "hw.gpu.utilization", "1", "gauge", "Share of time in which the GPU ran a kernel.", (*_GPU, HW_GPU_TASK)
)
GPU_MEMORY_USAGE: Final = Metric("hw.gpu.memory.usage", "By", "updown", "Memory of the GPU that is in use.", _GPU)
GPU_MEMORY_LIMIT: Final = Metric("hw.gpu.memory.limit", "By", "updown", "Memory of the GPU.", _GPU)
GPU_MEMORY_UTILIZATION: Final = Metric(
    "hw.gpu.memory.utilization", "1", "gauge", "Share of the GPU's memory that is in use.", _GPU
)
HW_ENERGY: Final = Metric("hw.energy", "J", "counter", "Energy that the hardware has used.", (*_GPU, HW_TYPE))
HW_TEMPERATURE: Final = Metric("hw.temperature", "Cel", "gauge", "Temperature of the hardware.", (*_GPU, HW_TYPE))

_STANDARD_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_HTTP = (HTTP_REQUEST_METHOD, HTTP_RESPONSE_STATUS_CODE, ERROR_TYPE, NETWORK_PROTOCOL_VERSION)
_RPC = (RPC_SYSTEM_NAME, RPC_METHOD, RPC_RESPONSE_STATUS_CODE, ERROR_TYPE)

HTTP_CLIENT_DURATION: Final = Metric(
    "http.client.request.duration", "s", "histogram", "Duration of HTTP client requests.",
    (*_HTTP, SERVER_ADDRESS, SERVER_PORT), _STANDARD_BUCKETS,
)  # fmt: skip
HTTP_SERVER_DURATION: Final = Metric(
    "http.server.request.duration", "s", "histogram", "Duration of HTTP server requests.",
    (*_HTTP, URL_SCHEME, HTTP_ROUTE), _STANDARD_BUCKETS,
)  # fmt: skip
RPC_CLIENT_DURATION: Final = Metric(
    "rpc.client.call.duration", "s", "histogram", "Duration of outgoing remote procedure calls.",
    (*_RPC, SERVER_ADDRESS, SERVER_PORT), _STANDARD_BUCKETS,
)  # fmt: skip
RPC_SERVER_DURATION: Final = Metric(
    "rpc.server.call.duration", "s", "histogram", "Duration of incoming remote procedure calls.",
    _RPC, _STANDARD_BUCKETS,
)  # fmt: skip

METRICS: Final = (
    CALL_DURATION, CALL_QUEUE_DURATION, CALL_DEVICE_DURATION, CALL_TIME_TO_FIRST_OUTPUT, CALL_TIME_PER_OUTPUT,
    MODEL_BATCH_SIZE, CALLS_ACTIVE, MODEL_TOKENS, PIPELINE_DURATION, SDK_SPANS_STARTED, SDK_SPANS_ADOPTED,
    SDK_SPANS_EXPORTED, SDK_SPANS_SAMPLED_OUT, SDK_SPANS_DROPPED, SDK_QUEUE_SPANS, SDK_QUEUE_BYTES, SDK_QUEUE_CAPACITY,
    SDK_SPOOL_SPANS, SDK_SPOOL_BYTES,
    GC_PAUSE, EVENT_LOOP_LAG,
)  # fmt: skip
"""Every metric of mmtrace; the standard ones, of HTTP and RPC, go through the OpenTelemetry Metrics API."""
