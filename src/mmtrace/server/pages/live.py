"""News of traces, as server-sent events: the ids of those that got new spans."""

import json
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from mmtrace.server.pages.formats import trace_id
from mmtrace.server.pages.shell import Shell


class Live:
    """Tells open pages what arrived."""

    def __init__(self, shell: Shell) -> None:
        self._store = shell.store

    async def stream(self, request: Request) -> Response:
        """Answer with events until the page closes or the server stops."""
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        async for changed in self._store.subscribe():
            yield f"data: {json.dumps([trace_id(key) for key in changed])}\n\n"
