"""An exception as the attributes of a span's event."""

import traceback

from mmtrace import attributes as names
from mmtrace.recording.guard import report


def exception_type(exception: BaseException) -> str:
    """Return the qualified name of the exception's class, bare for builtins."""
    kind = type(exception)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def exception_message(exception: BaseException) -> str:
    """Return what the exception says; an exception that cannot say it says nothing."""
    try:
        return str(exception)
    except Exception as error:
        report("exception message", f"mmtrace: str() of {exception_type(exception)} failed", error)
        return ""


def exception_attributes(exception: BaseException, *, escaped: bool) -> dict[str, object]:
    """Return the attributes of the `exception` event. Source: OpenTelemetry's conventions for exceptions."""
    return {
        names.EXCEPTION_TYPE: exception_type(exception),
        names.EXCEPTION_MESSAGE: exception_message(exception),
        names.EXCEPTION_STACKTRACE: _stacktrace(exception),
        names.EXCEPTION_ESCAPED: str(escaped),
    }


def _stacktrace(exception: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(type(exception), exception, exception.__traceback__))
    except Exception as error:
        report("stacktrace", f"mmtrace: the traceback of {exception_type(exception)} failed: {error!r}", error)
        return ""
