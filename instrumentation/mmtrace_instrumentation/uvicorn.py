"""uvicorn: what was recorded is delivered at the end of the server, which then raises its signal again and is gone."""

from collections.abc import Generator
from typing import Any

from mmtrace.instrumenting import Instrumentation, Patch, ending


def _shutdown(wrapped: Any, server: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Generator[None, Any, None]:
    yield
    ending()


instrumentation = Instrumentation(
    name="uvicorn",
    library="uvicorn",
    versions=">=0.15,<1",
    patches=(Patch("uvicorn.server:Server.shutdown", _shutdown),),
)
