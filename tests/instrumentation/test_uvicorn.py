import uvicorn

from mmtrace.testing import InstrumentationCases
from mmtrace_instrumentation.uvicorn import instrumentation


async def app(scope, receive, send):
    raise AssertionError


class TestKit(InstrumentationCases):
    instrumentation = instrumentation

    def use(self):
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
        server.should_exit = True
        server.run()
        return server.started

    def misuse(self):
        server = uvicorn.Server(uvicorn.Config("no_such_module:app", port=0, log_level="critical"))
        server.run()
