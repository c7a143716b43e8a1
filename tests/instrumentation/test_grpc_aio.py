import asyncio
import contextlib
import gc
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

# gRPC's asyncio side polls in a thread that goes on for as long as anything of it lives
pytestmark = pytest.mark.leaks


async def own_deadline(context):
    """Wait until the server's deadline, if there is one, has passed as well: the client's clock started first."""
    while context.time_remaining():
        await asyncio.sleep(0.005)


class Servicer:
    """One method of each kind for each way to end; requests and responses are bytes."""

    def __init__(self):
        self.metadata = []
        self.started = asyncio.Event()

    async def unary(self, request, context):
        self.metadata = list(context.invocation_metadata())
        await asyncio.sleep(0)
        return current().encode()

    def unary_in_a_thread(self, request, context):
        return current().encode()

    async def fails(self, request, context):
        raise ValueError("on purpose")

    async def aborts(self, request, context):
        await context.abort(grpc.StatusCode[request.decode()], "said so")

    async def sets_code(self, request, context):
        context.set_code(grpc.StatusCode[request.decode()])
        context.set_details("said so")
        return b""

    async def waits(self, request, context):
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await own_deadline(context)

    async def stream(self, request, context):
        for _ in range(3):
            yield current().encode()

    async def stream_by_writing(self, request, context):
        for _ in range(3):
            await context.write(current().encode())

    def stream_in_a_thread(self, request, context):
        for _ in range(3):
            yield current().encode()

    async def stream_fails(self, request, context):
        yield b"one"
        raise ValueError("in the middle")

    async def endless(self, request, context):
        try:
            while True:
                self.started.set()
                yield b"x"
                await asyncio.sleep(0.001)
        finally:
            await own_deadline(context)

    async def collects(self, requests, context):
        return b",".join([request async for request in requests]) + b" " + current().encode()

    async def converses(self, requests, context):
        async for request in requests:
            yield request + b" " + current().encode()


class TestKit(InstrumentationCases):
    instrumentation = of_grpc.instrumentation

    async def use(self):
        async with running(Servicer()) as target, grpc.aio.insecure_channel(target) as channel:
            unary = await channel.unary_unary(path("unary"))(b"")
            stream = [each async for each in channel.unary_stream(path("stream"))(b"")]
            collected = await channel.stream_unary(path("collects"))(iter([b"1", b"2"]))
            conversation = [each async for each in channel.stream_stream(path("converses"))(iter([b"1", b"2"]))]
            return [len(unary), [len(each) for each in stream], len(collected), len(conversation)]

    async def misuse(self):
        async with running(Servicer()) as target, grpc.aio.insecure_channel(target) as channel:
            try:
                await channel.unary_unary(path("aborts"))(b"NOT_FOUND")
            except grpc.aio.AioRpcError as error:
                raise LookupError(error.code(), error.details(), type(error)) from None


@contextlib.asynccontextmanager
async def running(servicer, **options):
    with futures.ThreadPoolExecutor(2) as pool:
        server = grpc.aio.server(pool, handlers=[handlers(servicer)], **options)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await server.stop(None)


@pytest.fixture
async def servicer():
    return Servicer()


@pytest.fixture
async def target(instrument, servicer):
    instrument("grpc")
    async with running(servicer) as target:
        yield target


@pytest.fixture
async def channel(target):
    async with grpc.aio.insecure_channel(target) as channel:
        await channel.channel_ready()
        yield channel


@pytest.fixture
def taken(spans):
    """Waits for so many spans without holding up the loop, and claims them."""

    async def take(count):
        deadline = time.monotonic() + 60
        while len(spans.unclaimed) < count:
            assert time.monotonic() < deadline, spans.unclaimed
            await asyncio.sleep(0.005)
        return spans.take()

    return take


@pytest.mark.parametrize("method", ["unary", "unary_in_a_thread"])
async def test_a_call_is_one_span_on_each_side(channel, target, taken, method):
    with mmtrace.span("caller"):
        response = await channel.unary_unary(path(method))(b"")
    spans = await taken(3)
    caller = next(span for span in spans if span.name == "caller")
    client, server = both([span for span in spans if span is not caller])
    assert client.parent_span_id == caller.span_id
    assert response == text(server).encode()
    assert client.attributes == {
        "rpc.system.name": "grpc",
        "rpc.method": f"test.Echo/{method}",
        "rpc.response.status_code": "OK",
        "server.address": "127.0.0.1",
        "server.port": int(target.rpartition(":")[2]),
    }
    assert server.name == f"test.Echo/{method}"
    assert server.attributes["rpc.response.status_code"] == "OK"
    assert server.attributes["client.address"] == "127.0.0.1"


async def test_metadata_arrives_whole_and_the_caller_s_own_is_not_changed(channel, servicer, taken):
    mine = grpc.aio.Metadata(("k", "1"), ("k", "2"), ("x-bin", b"\x00\xff"))
    await channel.unary_unary(path("unary"))(b"", metadata=mine)
    client, _ = both(await taken(2))
    sent = [(key, value) for key, value in servicer.metadata if key in {"k", "x-bin"}]
    assert sorted(sent) == [("k", "1"), ("k", "2"), ("x-bin", b"\x00\xff")]
    (parent,) = (value for key, value in servicer.metadata if key == "traceparent")
    assert parent.startswith(f"00-{client.trace_id:032x}-{client.span_id:016x}")
    assert list(mine) == [("k", "1"), ("k", "2"), ("x-bin", b"\x00\xff")]


async def test_the_object_of_a_call_is_the_library_s_own(channel, taken):
    call = channel.unary_unary(path("unary"))(b"")
    assert isinstance(call, grpc.aio.UnaryUnaryCall)
    done = []
    call.add_done_callback(done.append)
    await call
    assert await call.code() is grpc.StatusCode.OK and done == [call]
    await taken(2)


async def test_a_handler_that_fails_is_an_error_on_both_sides(channel, taken):
    with pytest.raises(grpc.aio.AioRpcError):
        await channel.unary_unary(path("fails"))(b"")
    client, server = both(await taken(2))
    assert client.attributes["error.type"] == "UNKNOWN" and "on purpose" in client.status_message
    assert server.attributes["error.type"] == "ValueError"


@pytest.mark.parametrize("way", ["aborts", "sets_code"])
@pytest.mark.parametrize(("status", "fault"), [("INTERNAL", True), ("NOT_FOUND", False)])
async def test_a_status_is_an_error_of_the_server_only_where_it_is_its_fault(channel, taken, way, status, fault):
    with pytest.raises(grpc.aio.AioRpcError):
        await channel.unary_unary(path(way))(status.encode())
    client, server = both(await taken(2))
    assert client.attributes["error.type"] == status and client.status_message == "said so"
    assert server.attributes["rpc.response.status_code"] == status
    assert server.is_error is fault


async def test_a_method_that_the_server_does_not_know_is_named_other(channel, taken):
    with pytest.raises(grpc.aio.AioRpcError):
        await channel.unary_unary("/no.Such/Method")(b"")
    _, server = both(await taken(2))
    assert server.attributes["rpc.method_original"] == "no.Such/Method"
    assert server.attributes["rpc.response.status_code"] == "UNIMPLEMENTED"


async def test_a_call_that_is_cut_by_wait_for_ends_cancelled_on_both_sides(channel, servicer, taken):
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(channel.unary_unary(path("waits"))(b""), 1)
    for span in both(await taken(2)):
        assert span.attributes["mmtrace.outcome"] == "cancelled"
        assert span.attributes["rpc.response.status_code"] == "CANCELLED"
        assert not span.is_error


async def test_a_task_that_is_cancelled_ends_its_call(channel, servicer, taken):
    async def run():
        await channel.unary_unary(path("waits"))(b"")

    task = asyncio.create_task(run())
    await servicer.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for span in both(await taken(2)):
        assert span.attributes["mmtrace.outcome"] == "cancelled"


async def test_a_deadline_that_passes_is_an_error_on_both_sides(channel, taken):
    with pytest.raises(grpc.aio.AioRpcError):
        await channel.unary_unary(path("waits"))(b"", timeout=1)
    for span in both(await taken(2)):
        assert span.attributes["error.type"] == "DEADLINE_EXCEEDED"


@pytest.mark.parametrize("method", ["stream", "stream_by_writing", "stream_in_a_thread"])
async def test_the_span_of_a_stream_covers_all_of_it_and_is_current_in_the_handler(channel, taken, method):
    with mmtrace.span("consumer"):
        inside = current()
        received = []
        async for response in channel.unary_stream(path(method))(b""):
            assert current() == inside
            received.append(response)
    client, server = both([span for span in await taken(3) if span.name != "consumer"])
    assert received == [text(server).encode()] * 3
    assert client.attributes["rpc.response.status_code"] == server.attributes["rpc.response.status_code"] == "OK"


async def test_a_stream_can_be_read_one_by_one(channel, taken):
    call = channel.unary_stream(path("stream"))(b"")
    received = [await call.read() for _ in range(3)]
    assert await call.read() is grpc.aio.EOF
    _, server = both(await taken(2))
    assert received == [text(server).encode()] * 3


async def test_a_stream_that_is_cancelled_ends_on_both_sides(channel, taken):
    call = channel.unary_stream(path("endless"))(b"")
    assert await call.read() == b"x"
    assert call.cancel()
    for span in both(await taken(2)):
        assert span.attributes["mmtrace.outcome"] == "cancelled"


async def cancelled_at_once_and_on_the_server_with_the_channel(channel, taken):
    """The library itself keeps a call that its caller drops until it is collected, or until the channel is closed."""
    (client,) = await taken(1)
    assert client.kind is CLIENT and client.attributes["mmtrace.outcome"] == "cancelled"
    gc.collect()
    await channel.close()
    (server,) = await taken(1)
    assert server.attributes["mmtrace.outcome"] == "cancelled"


async def test_a_stream_that_nobody_reads_ends_when_it_is_dropped(channel, servicer, taken):
    call = channel.unary_stream(path("endless"))(b"")
    await servicer.started.wait()
    await call.wait_for_connection()
    del call
    gc.collect()
    await cancelled_at_once_and_on_the_server_with_the_channel(channel, taken)


async def test_a_stream_that_is_left_early_ends_when_it_is_dropped(channel, taken):
    async for response in channel.unary_stream(path("endless"))(b""):
        assert response == b"x"
        break
    await cancelled_at_once_and_on_the_server_with_the_channel(channel, taken)


async def test_the_object_of_a_stream_has_all_that_the_library_s_own_has(channel, taken):
    call = channel.unary_stream(path("stream"))(b"")
    assert isinstance(call, grpc.aio.UnaryStreamCall)
    done = []
    call.add_done_callback(done.append)
    assert len([each async for each in call]) == 3
    assert await call.code() is grpc.StatusCode.OK and await call.initial_metadata() == grpc.aio.Metadata()
    assert call.done() and not call.cancelled() and done == [call]
    both(await taken(2))


async def test_a_stream_past_its_deadline_is_an_error_on_both_sides(channel, taken):
    with pytest.raises(grpc.aio.AioRpcError):
        async for _ in channel.unary_stream(path("endless"))(b"", timeout=1):
            pass
    for span in both(await taken(2)):
        assert span.attributes["error.type"] == "DEADLINE_EXCEEDED"


async def test_a_stream_that_fails_in_the_middle_is_an_error_on_both_sides(channel, taken):
    with pytest.raises(grpc.aio.AioRpcError):
        async for _ in channel.unary_stream(path("stream_fails"))(b""):
            pass
    client, server = both(await taken(2))
    assert client.attributes["error.type"] == "UNKNOWN"
    assert server.attributes["error.type"] == "ValueError"


async def requests(seen):
    for number in (b"1", b"2", b"3"):
        seen.append(current().encode())
        yield number


async def test_a_stream_of_requests_is_made_inside_the_call(channel, taken):
    seen = []
    response = await channel.stream_unary(path("collects"))(requests(seen))
    client, server = both(await taken(2))
    assert response == b"1,2,3 " + text(server).encode()
    assert seen == [text(client).encode()] * 3


async def test_requests_can_be_written_one_by_one(channel, taken):
    call = channel.stream_unary(path("collects"))()
    await call.write(b"1")
    await call.done_writing()
    assert (await call).startswith(b"1 ")
    both(await taken(2))


async def test_a_conversation_is_one_span_on_each_side(channel, taken):
    seen = []
    received = [each async for each in channel.stream_stream(path("converses"))(requests(seen))]
    client, server = both(await taken(2))
    assert received == [number + b" " + text(server).encode() for number in (b"1", b"2", b"3")]
    assert seen == [text(client).encode()] * 3


async def test_interceptors_of_the_application_run_in_their_order(instrument, servicer, taken):
    instrument("grpc")
    happened = []

    class OfServer(grpc.aio.ServerInterceptor):
        async def intercept_service(self, continuation, details):
            happened.append("server")
            return await continuation(details)

    class OfClient(grpc.aio.UnaryUnaryClientInterceptor):
        async def intercept_unary_unary(self, continuation, details, request):
            happened.append("client")
            details.metadata.add("from", "client")
            return await continuation(details, request)

    class OfClientStreams(grpc.aio.UnaryStreamClientInterceptor):
        async def intercept_unary_stream(self, continuation, details, request):
            happened.append("client stream")
            return await continuation(details, request)

    ours = [OfClient(), OfClientStreams()]
    async with (
        running(servicer, interceptors=[OfServer()]) as target,
        grpc.aio.insecure_channel(target, interceptors=ours) as channel,
    ):
        response = await channel.unary_unary(path("unary"))(b"")
        _, server = both(await taken(2))
        assert response == text(server).encode() and ("from", "client") in servicer.metadata
        received = [each async for each in channel.unary_stream(path("stream"))(b"")]
        _, server = both(await taken(2))
        assert received == [text(server).encode()] * 3
    assert happened == ["client", "server", "client stream", "server"]


async def test_what_is_suppressed_is_not_traced(instrument, servicer, spans):
    instrument("grpc")
    with suppress():
        async with running(servicer) as target, grpc.aio.insecure_channel(target) as channel:
            await channel.unary_unary(path("unary"))(b"")
            assert len([each async for each in channel.unary_stream(path("stream"))(b"")]) == 3
    assert "traceparent" not in dict(servicer.metadata)


async def test_many_calls_at_once_keep_their_traces_apart(channel, taken):
    async def run(number):
        with mmtrace.span(f"caller {number}"):
            inside = current()[:32].encode()
            assert (await channel.unary_unary(path("unary"))(b""))[:32] == inside

    await asyncio.gather(*(run(number) for number in range(20)))
    assert len(await taken(60)) == 60
