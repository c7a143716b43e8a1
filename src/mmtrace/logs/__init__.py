"""Log records that know their trace: for the standard library's `logging` and for structlog.

    handler = mmtrace.logs.JsonHandler()                       # one JSON object a line on standard output
    logging.basicConfig(handlers=[handler], level="INFO")

    structlog.configure(processors=[mmtrace.logs.processor, structlog.processors.JSONRenderer()])

`configure(log_handlers="json,otlp")` does it without a change to the logging of a program. Nothing here raises into the
program, and nothing holds up the thread that logs except the writing of its line.
"""

from mmtrace.logs.handlers import ContextFilter, JsonFormatter, JsonHandler, OtlpHandler
from mmtrace.logs.structured import otlp_processor, processor

__all__ = ["ContextFilter", "JsonFormatter", "JsonHandler", "OtlpHandler", "otlp_processor", "processor"]
