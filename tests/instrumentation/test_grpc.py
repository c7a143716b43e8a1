import contextlib
import gc
import threading
import time
from concurrent import futures

import grpc
import pytest
from opentelemetry import trace

import mmtrace
from echo import both, handlers, path
from mmtrace.instrumenting import suppress
from mmtrace.testing.instrumentation import InstrumentationCases
from mmtrace_instrumentation import grpc as of_grpc
from whereabouts import current, text

CLIENT, SERVER = trace.SpanKind.CLIENT, trace.SpanKind.SERVER


class Servicer:
    """One method of each kind for each way to end; requests and responses are bytes."""

    def __init__(self):
        self.metadata = []
        self.started = threading.Event()
        self.gate = threading.Event()
        self.closed = threading.Event()

    def unary(self, request, context):
        self.metadata = list(context.invocation_metadata())
        context.set_trailing_metadata((("k", "v"),))
        return current().encode()

    def fails(self, request, context):
        raise ValueError("on purpose")

    def aborts(self, request, context):
        context.abort(grpc.StatusCode[request.decode()], "said so")

    def sets_code(self, request, context):
        context.set_code(grpc.StatusCode[request.decode()])
        context.set_details("said so")
        return b""

    def waits(self, request, context):
        self._context = context
        self.started.set()
        self.gate.wait(60)
        return b""

    def stream(self, request, context):
        for _ in range(int(request or b"3")):
            yield current().encode()

    def stream_fails(self, request, context):
        yield b"one"
        raise ValueError("in the middle")

    def endless(self, request, context):
        try:
            while True:
                yield b"x"
                time.sleep(0.001)
        finally:
            self.closed.set()

    def stream_until_late(self, request, context):
        yield b"x"
        while not _is_late(context):
            time.sleep(0.005)

    def stream_raises_at_once(self, request, context):
        raise ValueError("before the first")

    def collects(self, requests, context):
        return b",".join(requests) + b" " + current().encode()

    def converses(self, requests, context):
        for request in requests:
            yield request + b" " + current().encode()


def _is_late(context):
    """Whether the server knows that nobody waits any more, and its own deadline, which began later, has passed."""
    return not context.is_active() and context.time_remaining() == 0


class TestKit(InstrumentationCases):
    instrumentation = of_grpc.instrumentation

    def use(self):
        with running(Servicer()) as target, grpc.insecure_channel(target) as channel:
            unary = channel.unary_unary(path("sets_code"))
            future = channel.unary_unary(path("unary")).future(b"")
            stream = channel.unary_stream(path("stream"))(b"2")
            collected, call = channel.stream_unary(path("collects")).with_call(iter([b"1", b"2"]))
            conversation = list(channel.stream_stream(path("converses"))(iter([b"1", b"2"])))
            sizes = [len(future.result()), [len(each) for each in stream], len(collected), len(conversation)]
            return unary(b"OK"), sizes, stream.code(), call.code(), type(future), type(stream)

    def misuse(self):
        with running(Servicer()) as target, grpc.insecure_channel(target) as channel:
            try:
                channel.unary_unary(path("aborts"))(b"NOT_FOUND")
            except grpc.RpcError as error:
                raise LookupError(error.code(), error.details(), type(error)) from None


@contextlib.contextmanager
def running(servicer, **options):
    with futures.ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool, handlers=[handlers(servicer)], **options)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@pytest.fixture
def servicer():
    return Servicer()


@pytest.fixture
def patched(instrument):
    instrument("grpc")


@pytest.fixture
def target(servicer, patched):
    with running(servicer) as target:
        yield target
        servicer.gate.set()


@pytest.fixture
def channel(target):
    with grpc.insecure_channel(target) as channel:
        grpc.channel_ready_future(channel).result(60)
        yield channel


def test_a_call_is_one_span_on_each_side(channel, target, take):
    with mmtrace.span("caller"):
        response = channel.unary_unary(path("unary"))(b"")
    spans = take(3)
    caller = next(span for span in spans if span.name == "caller")
    client, server = both([span for span in spans if span is not caller])
    assert client.parent_span_id == caller.span_id
    assert response == text(server).encode()
    assert client.name == server.name == "test.Echo/unary"
    assert client.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "test.Echo/unary",
        "rpc.response.status_code": "OK",
        "server.address": "127.0.0.1",
        "server.port": int(target.rpartition(":")[2]),
    }
    assert server.attributes.pop("client.port") > 0
    assert server.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": "test.Echo/unary",
        "rpc.response.status_code": "OK",
        "client.address": "127.0.0.1",
    }


def call_plainly(channel, method, request, **options):
    return channel.unary_unary(path(method))(request, **options)


def call_with_call(channel, method, request, **options):
    response, call = channel.unary_unary(path(method)).with_call(request, **options)
    assert call.trailing_metadata() == (("k", "v"),)
    return response


def call_in_the_future(channel, method, request, **options):
    future = channel.unary_unary(path(method)).future(request, **options)
    done = threading.Event()
    future.add_done_callback(lambda _: done.set())
    response = future.result(60)
    assert done.wait(60)
    assert (future.code(), future.done(), future.cancelled()) == (grpc.StatusCode.OK, True, False)
    return response


@pytest.mark.parametrize("call", [call_plainly, call_with_call, call_in_the_future])
def test_each_way_to_call_gives_what_it_gave(channel, take, call):
    response = call(channel, "unary", b"")
    _, server = both(take(2))
    assert response == text(server).encode()


@pytest.mark.parametrize("call", [call_plainly, call_with_call, call_in_the_future])
def test_metadata_arrives_whole_with_keys_that_come_twice_and_bytes(channel, servicer, take, call):
    call(channel, "unary", b"", metadata=(("k", "1"), ("k", "2"), ("x-bin", b"\x00\xff")))
    client, _ = both(take(2))
    sent = [(key, value) for key, value in servicer.metadata if key in {"k", "x-bin"}]
    assert sorted(sent) == [("k", "1"), ("k", "2"), ("x-bin", b"\x00\xff")]
    (parent,) = (value for key, value in servicer.metadata if key == "traceparent")
    assert parent.startswith(f"00-{client.trace_id:032x}-{client.span_id:016x}")


def test_a_traceparent_of_the_caller_stays_as_it_is(channel, servicer, take):
    mine = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    channel.unary_unary(path("unary"))(b"", metadata=[("traceparent", mine)])
    assert [value for key, value in servicer.metadata if key == "traceparent"] == [mine]
    take(2)


def test_positional_arguments_are_understood(channel, servicer, take):
    channel.unary_unary(path("unary"))(b"", 60, (("k", "1"),), None, True)
    assert ("k", "1") in [(key, value) for key, value in servicer.metadata]
    take(2)


def test_a_handler_that_fails_is_an_error_on_both_sides(channel, take):
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(path("fails"))(b"")
    assert raised.value.details() == "Exception calling application: on purpose"
    client, server = both(take(2))
    assert client.is_error and client.attributes["error.type"] == "UNKNOWN"
    assert client.status_message == "Exception calling application: on purpose"
    assert server.attributes["error.type"] == "ValueError"
    assert server.attributes["rpc.response.status_code"] == "UNKNOWN"
    assert server.events[0].attributes["exception.message"] == "on purpose"


@pytest.mark.parametrize("way", ["aborts", "sets_code"])
@pytest.mark.parametrize(("status", "fault"), [("INTERNAL", True), ("UNAVAILABLE", True), ("NOT_FOUND", False)])
def test_a_status_is_an_error_of_the_server_only_where_it_is_its_fault(channel, take, way, status, fault):
    with pytest.raises(grpc.RpcError) as raised:
        channel.unary_unary(path(way))(status.encode())
    assert raised.value.code() is grpc.StatusCode[status]
    client, server = both(take(2))
    assert client.is_error and client.attributes["error.type"] == status and client.status_message == "said so"
    assert server.attributes["rpc.response.status_code"] == status
    assert server.is_error is fault
    assert server.attributes.get("error.type") == (status if fault else None)
    assert server.status_message == ("said so" if fault else "")


def test_a_method_that_the_server_does_not_know_is_named_other(channel, take):
    with pytest.raises(grpc.RpcError):
        channel.unary_unary("/no.Such/Method")(b"")
    client, server = both(take(2))
    assert client.name == "no.Such/Method"
    assert server.name == "grpc"
    assert server.attributes["rpc.method"] == "_OTHER"
    assert server.attributes["rpc.method_original"] == "no.Such/Method"
    assert server.attributes["rpc.response.status_code"] == "UNIMPLEMENTED"


def test_a_server_that_is_not_there_is_an_error(patched, spans):
    with grpc.insecure_channel("127.0.0.1:1") as channel, pytest.raises(grpc.RpcError):
        channel.unary_unary(path("unary"))(b"", timeout=60)
    span = spans.one()
    assert span.attributes["error.type"] == "UNAVAILABLE"
    assert "connect" in span.status_message


def test_a_deadline_that_passes_is_an_error_on_both_sides(channel, servicer, take, eventually):
    with pytest.raises(grpc.RpcError):
        channel.unary_unary(path("waits"))(b"", timeout=1)
    eventually(lambda: _is_late(servicer._context))
    servicer.gate.set()
    client, server = both(take(2))
    for span in (client, server):
        assert span.is_error
        assert span.attributes["error.type"] == span.attributes["rpc.response.status_code"] == "DEADLINE_EXCEEDED"


def test_a_call_that_is_cancelled_is_cancelled_on_both_sides(channel, servicer, take, eventually):
    future = channel.unary_unary(path("waits")).future(b"")
    assert servicer.started.wait(60)
    future.cancel()
    eventually(lambda: not servicer._context.is_active())
    servicer.gate.set()
    for span in both(take(2)):
        assert span.attributes["mmtrace.outcome"] == "cancelled"
        assert span.attributes["rpc.response.status_code"] == "CANCELLED"
        assert span.status is trace.StatusCode.UNSET and not span.events


def test_the_span_of_a_stream_covers_all_of_it_and_is_current_in_the_handler(channel, take):
    with mmtrace.span("consumer"):
        inside = current()
        call = channel.unary_stream(path("stream"))(b"3", metadata=(("k", "1"),))
        received = []
        for response in call:
            assert current() == inside
            received.append(response)
    assert call.code() is grpc.StatusCode.OK
    client, server = both([span for span in take(3) if span.name != "consumer"])
    assert received == [text(server).encode()] * 3
    assert client.attributes["rpc.response.status_code"] == "OK"
    assert client.end_time >= server.start_time


def test_the_object_of_a_stream_is_the_library_s_own(channel, take):
    call = channel.unary_stream(path("endless"))(b"")
    assert isinstance(call, grpc.Call) and isinstance(call, grpc.Future) and isinstance(call, grpc.RpcError)
    assert call.is_active() and call.time_remaining() is None and call.initial_metadata() == ()
    done = threading.Event()
    assert call.add_callback(done.set)
    next(call)
    assert call.cancel()
    assert done.wait(60)
    assert call.code() is grpc.StatusCode.CANCELLED and call.details() == "Locally cancelled by application!"
    take(2)


def test_a_stream_that_is_cancelled_ends_on_both_sides(channel, servicer, take):
    call = channel.unary_stream(path("endless"))(b"")
    next(call)
    call.cancel()
    for span in both(take(2)):
        assert span.attributes["mmtrace.outcome"] == "cancelled"
        assert span.attributes["rpc.response.status_code"] == "CANCELLED"
    assert servicer.closed.wait(60)


def test_a_stream_that_nobody_reads_ends_when_it_is_dropped(channel, servicer, take):
    call = channel.unary_stream(path("endless"))(b"")
    call.initial_metadata()
    del call
    gc.collect()
    client, server = both(take(2))
    assert client.attributes["mmtrace.outcome"] == "cancelled"
    assert server.attributes["mmtrace.outcome"] == "cancelled"


def test_a_stream_that_is_left_early_ends_when_it_is_dropped(channel, take):
    for response in channel.unary_stream(path("endless"))(b""):
        assert response == b"x"
        break
    gc.collect()
    for span in both(take(2)):
        assert span.attributes["mmtrace.outcome"] == "cancelled"


def test_a_stream_past_its_deadline_is_an_error_on_both_sides(channel, take):
    with pytest.raises(grpc.RpcError):
        list(channel.unary_stream(path("stream_until_late"))(b"", timeout=1))
    for span in both(take(2)):
        assert span.attributes["error.type"] == "DEADLINE_EXCEEDED"


def test_a_stream_that_fails_in_the_middle_is_an_error_on_both_sides(channel, take):
    received = []
    with pytest.raises(grpc.RpcError) as raised:
        received.extend(channel.unary_stream(path("stream_fails"))(b""))
    assert raised.value.details() == "Exception iterating responses: in the middle"
    client, server = both(take(2))
    assert client.attributes["error.type"] == "UNKNOWN"
    assert server.attributes["error.type"] == "ValueError"


def test_a_handler_of_a_stream_that_fails_before_it_fails_as_it_did(channel, take):
    with pytest.raises(grpc.RpcError) as raised:
        list(channel.unary_stream(path("stream_raises_at_once"))(b""))
    assert raised.value.details() == "Exception calling application: before the first"
    assert both(take(2))[1].attributes["error.type"] == "ValueError"


def requests(seen):
    for number in (b"1", b"2", b"3"):
        seen.append(current().encode())
        yield number


@pytest.mark.parametrize("way", ["plain", "with_call", "future"])
def test_a_stream_of_requests_is_made_inside_the_call(channel, take, way):
    seen = []
    stub = channel.stream_unary(path("collects"))
    with mmtrace.span("caller"):
        if way == "plain":
            response = stub(requests(seen))
        elif way == "with_call":
            response, call = stub.with_call(requests(seen))
            assert call.code() is grpc.StatusCode.OK
        else:
            response = stub.future(requests(seen)).result(60)
    client, server = both([span for span in take(3) if span.name != "caller"])
    assert response == b"1,2,3 " + text(server).encode()
    assert seen == [text(client).encode()] * 3


def test_a_conversation_is_one_span_on_each_side(channel, take):
    seen = []
    received = list(channel.stream_stream(path("converses"))(requests(seen), metadata=(("k", "1"), ("k", "2"))))
    client, server = both(take(2))
    assert received == [number + b" " + text(server).encode() for number in (b"1", b"2", b"3")]
    assert seen == [text(client).encode()] * 3


def test_the_time_that_a_call_waits_for_a_thread_is_part_of_its_span(patched, take, servicer):
    arrived = threading.Semaphore(0)

    class Arrivals(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            arrived.release()
            return continuation(details)

    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=[handlers(servicer)], interceptors=[Arrivals()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            first = channel.unary_unary(path("waits")).future(b"")
            assert arrived.acquire(timeout=60)
            second = channel.unary_unary(path("unary")).future(b"")
            assert arrived.acquire(timeout=60)
            has_a_thread = time.time_ns()
            servicer.gate.set()
            first.result(), second.result()
        server.stop(None).wait()
    served = next(span for span in take(4) if span.kind is SERVER and span.name == "test.Echo/unary")
    assert served.start_time <= has_a_thread <= served.end_time


def test_interceptors_of_the_application_run_in_their_order(servicer, patched, take):
    happened = []

    class OfServer(grpc.ServerInterceptor):
        def __init__(self, name):
            self.name = name

        def intercept_service(self, continuation, details):
            happened.append(self.name)
            return continuation(details)

    class OfClient(grpc.UnaryUnaryClientInterceptor):
        def __init__(self, name):
            self.name = name

        def intercept_unary_unary(self, continuation, details, request):
            happened.append(self.name)
            metadata = [*(details.metadata or ()), ("from", self.name)]
            return continuation(details._replace(metadata=metadata), request)

    ours = [OfServer("server 1"), OfServer("server 2")]
    with running(servicer, interceptors=ours) as target, grpc.insecure_channel(target) as channel:
        intercepted = grpc.intercept_channel(channel, OfClient("client 1"), OfClient("client 2"))
        intercepted.unary_unary(path("unary"))(b"")
    assert happened == ["client 1", "client 2", "server 1", "server 2"]
    assert [value for key, value in servicer.metadata if key == "from"] == ["client 1", "client 2"]
    assert "traceparent" in dict(servicer.metadata)
    both(take(2))


def test_an_interceptor_that_fails_is_an_error_of_the_server(servicer, patched, take):
    class Fails(grpc.ServerInterceptor):
        def intercept_service(self, continuation, details):
            raise ValueError("in the interceptor")

    with (
        running(servicer, interceptors=[Fails()]) as target,
        grpc.insecure_channel(target) as channel,
        pytest.raises(grpc.RpcError),
    ):
        channel.unary_unary(path("unary"))(b"")
    _, server = both(take(2))
    assert server.attributes["error.type"] == "ValueError"


def test_stubs_that_existed_before_are_traced(instrument, servicer, take):
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool, handlers=[handlers(servicer)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            stub = channel.unary_unary(path("unary"))
            instrument("grpc")
            stub(b"")
        server.stop(None).wait()
    assert take(1)[0].kind is CLIENT


def test_what_is_suppressed_is_not_traced(instrument, servicer, spans):
    instrument("grpc")
    with suppress(), running(servicer) as target, grpc.insecure_channel(target) as channel:
        channel.unary_unary(path("unary"))(b"")
        channel.unary_unary(path("unary")).future(b"").result()
        list(channel.stream_stream(path("converses"))(iter([b"1"])))
        assert "traceparent" not in dict(servicer.metadata)


def test_durations_are_measured_by_the_metrics_of_the_convention(channel, target, take, measured):
    channel.unary_unary(path("unary"))(b"")
    assert len(list(channel.unary_stream(path("stream"))(b""))) == 3
    with pytest.raises(grpc.RpcError):
        channel.unary_unary(path("fails"))(b"")
    take(6)
    clients = {point.attributes["rpc.method"]: point for point in measured("rpc.client.call.duration")}
    servers = {point.attributes["rpc.method"]: point for point in measured("rpc.server.call.duration")}
    assert clients.keys() == servers.keys() == {"test.Echo/unary", "test.Echo/stream", "test.Echo/fails"}
    assert dict(clients["test.Echo/fails"].attributes) == {
        "rpc.system.name": "grpc",
        "rpc.method": "test.Echo/fails",
        "rpc.response.status_code": "UNKNOWN",
        "error.type": "UNKNOWN",
        "server.address": "127.0.0.1",
        "server.port": int(target.rpartition(":")[2]),
    }
    assert servers["test.Echo/fails"].attributes["error.type"] == "ValueError"
    assert "error.type" not in servers["test.Echo/unary"].attributes


def test_metadata_can_be_switched_off(instrument, servicer, take):
    instrument("grpc", carriers={"grpc": False})
    with running(servicer) as target, grpc.insecure_channel(target) as channel:
        channel.unary_unary(path("unary"))(b"")
    assert "traceparent" not in dict(servicer.metadata)
    take(2)


def test_attributes_of_a_handler_stay(servicer, patched, take):
    with futures.ThreadPoolExecutor(1, "special") as special:

        def where(request, context):
            return threading.current_thread().name.encode()

        where.experimental_thread_pool = special
        servicer.where = where
        with running(servicer) as target, grpc.insecure_channel(target) as channel:
            assert channel.unary_unary(path("where"))(b"").startswith(b"special")
    take(2)


@pytest.mark.parametrize(
    ("target", "address", "port"),
    [
        ("localhost:50051", "localhost", 50051),
        ("dns:///reranker.internal:443", "reranker.internal", 443),
        ("dns://8.8.8.8/reranker:443", "reranker", 443),
        ("ipv4:127.0.0.1:50051", "127.0.0.1", 50051),
        ("ipv6:[::1]:50051", "::1", 50051),
        ("ipv6:%5B::1%5D:50051", "::1", 50051),
        ("[::1]:50051", "::1", 50051),
        ("reranker", "reranker", None),
        ("unix:/tmp/socket", "/tmp/socket", None),
        ("unix:///tmp/socket", "/tmp/socket", None),
        ("xds:///service", "service", None),
    ],
)
def test_address_and_port_are_those_of_the_target(target, address, port):
    from mmtrace_instrumentation.grpc import _address

    expected = {"server.address": address} | ({"server.port": port} if port else {})
    assert _address(target) == expected
