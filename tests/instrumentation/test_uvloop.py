import asyncio

import uvloop

from mmtrace.testing import InstrumentationCases
from mmtrace_instrumentation.asyncio import uvloop as instrumentation


class TestKit(InstrumentationCases):
    instrumentation = instrumentation

    def use(self):
        return self._run(asyncio.sleep(0, "done"))

    def misuse(self):
        async def wrong():
            raise ZeroDivisionError

        self._run(wrong())

    def _run(self, work):
        loop = uvloop.new_event_loop()
        try:
            return loop.run_until_complete(work)
        finally:
            loop.close()
