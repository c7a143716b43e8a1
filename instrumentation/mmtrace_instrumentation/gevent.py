"""gevent: what imported TLS before gevent replaced it gets the replacement, too.

mmtrace loads urllib3 early, and urllib3 keeps the class of TLS contexts by name. Beside gevent's own it would make
every TLS connection fail by a RecursionError, those of the application too, and gevent would warn of it.
https://github.com/gevent/gevent/issues/1016
"""

import ssl
import sys
from collections.abc import Generator
from typing import Any, Final

from mmtrace.instrumenting import Instrumentation, Patch

_HOLDERS: Final = ("urllib3.util", "urllib3.util.ssl_")


def _patch_ssl(
    wrapped: Any, instance: None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Generator[None, Any, None]:
    modules: list[Any] = [sys.modules[name] for name in _HOLDERS if name in sys.modules]
    holders = [module for module in modules if vars(module).get("SSLContext") is ssl.SSLContext]
    for module in holders:
        module.SSLContext = None
    try:
        yield
    finally:
        for module in holders:
            module.SSLContext = ssl.SSLContext


instrumentation = Instrumentation(
    name="gevent", library="gevent", versions=">=23.9", patches=(Patch("gevent.monkey:patch_ssl", _patch_ssl),)
)
