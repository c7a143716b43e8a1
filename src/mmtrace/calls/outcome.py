"""How a call ended: ok, error or cancelled, and of which type the error was."""

from typing import Final, Literal, TypeAlias

Outcome: TypeAlias = Literal["ok", "error", "cancelled"]

_CANCELLATIONS: Final = frozenset({"CancelledError", "Cancelled", "GeneratorExit", "KeyboardInterrupt", "SystemExit"})
"""Names, because importing every event loop to know its class would cost more than the calls do."""


def outcome_of(error: BaseException | None) -> Outcome:
    """Classify what a call ended with.

    Cancellation (of asyncio, concurrent.futures, trio, or gRPC's CANCELLED), a generator closed before its end, and
    KeyboardInterrupt or SystemExit are `cancelled`: somebody decided so, the model did not fail. A deadline that
    passed is an error.
    """
    if error is None:
        return "ok"
    if any(cls.__name__ in _CANCELLATIONS for cls in type(error).__mro__):
        return "cancelled"
    return "cancelled" if grpc_status(error) == "CANCELLED" else "error"


def error_type_of(error: BaseException) -> str:
    """Return the low-cardinality `error.type`: gRPC's status name, else the qualified class, bare for builtins."""
    if status := grpc_status(error):
        return status
    cls = type(error)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def grpc_status(error: BaseException) -> str | None:
    """Return the name of the gRPC status that `error` carries, or None for any other exception."""
    if not any(cls.__name__ == "RpcError" for cls in type(error).__mro__):
        return None
    try:
        return str(error.code().name)  # type: ignore[attr-defined]  # gRPC's class is not imported here
    except Exception:
        return None
