"""redis streams, plain and asyncio, from XADD to XREAD and XREADGROUP; commands of the database are contrib's.

An entry has no headers, so that its context travels as fields beside the sender's own. They are taken off again
wherever entries are read. Pipelines of a cluster are left out.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Final, TypeAlias

from mmtrace import attributes as names
from mmtrace.instrumenting import Instrumentation, Patch, arrival_of, leave_pulled, never_raises, serving
from mmtrace_instrumentation.shapes import message
from mmtrace_instrumentation.shapes.message import Channel, Message, Pull, text

_Args: TypeAlias = tuple[Any, ...]
_Kwargs: TypeAlias = dict[str, Any]
_Read: TypeAlias = Callable[[Any, list[Any]], list[Any]]
"""Returns what the caller gets of the entries of a stream."""

# --- sending --------------------------------------------------------------------------------------------------------


def _xadd(wrapped: Any, client: Any, args: _Args, kwargs: _Kwargs) -> Any:
    given = {**dict(zip(("name", "fields"), args, strict=False)), **kwargs}
    name, fields = given.pop("name", None), given.pop("fields", None)
    if name is None or not fields or not isinstance(fields, dict):
        return wrapped(*args, **kwargs)
    sending = message.sending(Channel("redis", text(name)), "xadd", fields)
    return sending.run(wrapped, (name, sending.headers(fields), *args[2:]), given)


# --- pulling --------------------------------------------------------------------------------------------------------


def _pull(command: str, wrapped: Any, client: Any, args: _Args, kwargs: _Kwargs) -> Any:
    given = {**dict(zip(_PULLS[command], args, strict=False)), **kwargs}
    channel = Channel("redis", text(given.get("name", "")), text(given.get("groupname", "")))
    with serving():  # a worker is stopped where it waits
        return message.pull(wrapped, args, kwargs, partial(_pulled, command, channel))


def _pulled(command: str, channel: Channel, answer: Any) -> Any:
    pull = Pull()
    found = _read(command, partial(_in_turn, pull, channel.group), channel.destination, answer)
    pull.done()
    return found


def _in_turn(pull: Pull, group: str, stream: Any, entries: list[Any]) -> list[Any]:
    channel, own = Channel("redis", text(stream), group), [_own(entry) for entry in entries]
    return pull.items([entry for entry, _ in own], [_message(channel, *pair) for pair in own])


def _message(channel: Channel, entry: Any, headers: Any) -> Message | None:
    return None if headers is None else Message(channel, headers, {names.MESSAGING_MESSAGE_ID: text(entry[0])})


# --- reading, also where nothing is pulled --------------------------------------------------------------------------


def _look(command: str, wrapped: Any, client: Any, args: _Args, kwargs: _Kwargs) -> Any:
    return message.then(wrapped(*args, **kwargs), partial(_read, command, _sent, ""))


def _execute(wrapped: Any, pipeline: Any, args: _Args, kwargs: _Kwargs) -> Generator[None, list[Any], Any]:
    commands = [command[0][0] for command in pipeline.command_stack]
    answers = yield
    if not _SETTLE.isdisjoint(command.lower() for command in commands):
        leave_pulled()
    if _SHAPES.keys().isdisjoint(command.lower() for command in commands):
        return None
    return [_read(command.lower(), _sent, "", answer) for command, answer in zip(commands, answers, strict=True)]


def _sent(stream: Any, entries: list[Any]) -> list[Any]:
    return [_own(entry)[0] for entry in entries]


def _read(command: str, read: _Read, stream: Any, answer: Any) -> Any:
    """Return the `answer` of `command` with `read` applied to the entries in it."""
    if command not in _SHAPES or not answer or not isinstance(answer, (list, dict)):
        return answer  # nothing came, or a pipeline has yet to run
    return never_raises(_SHAPES[command])(read, stream, answer) or answer


def _streams(read: _Read, stream: Any, answer: Any) -> Any:
    found = [
        [name, [read(name, inner) for inner in entries] if _is_nested(entries) else read(name, entries)]
        for name, entries in (answer.items() if isinstance(answer, dict) else answer)
    ]
    return dict(found) if isinstance(answer, dict) else found


def _is_nested(entries: list[Any]) -> bool:
    """Whether entries lie in one more list, as in answers of RESP3 that are not unified."""
    return bool(entries) and isinstance(entries[0], list)


def _entries(read: _Read, stream: Any, answer: Any) -> Any:
    return read(stream, answer)


def _claimed(read: _Read, stream: Any, answer: Any) -> Any:
    if len(answer) < 2 or not isinstance(answer[1], list):
        return answer
    return [answer[0], read(stream, answer[1]), *answer[2:]]


def _own(entry: Any) -> tuple[Any, Any]:
    """Return an entry as its sender gave it, and its headers: None where it is a mere id, or was deleted."""
    if not isinstance(entry, tuple) or not isinstance(entry[1], dict):
        return entry, None
    name, fields, *more = entry
    if _ARRIVAL.isdisjoint(fields) or arrival_of(fields) is None:
        return entry, fields
    carried = message.carried_names()
    headers = {key: value for key, value in fields.items() if text(key) in carried}
    return (name, {key: value for key, value in fields.items() if key not in headers}, *more), headers


_ARRIVAL: Final = frozenset((names.ARRIVAL_FIELD, names.ARRIVAL_FIELD.encode()))
_PULLS: Final = {
    "xread": (),
    "xreadgroup": ("groupname",),
    "xclaim": ("name", "groupname"),
    "xautoclaim": ("name", "groupname"),
}
_LOOKS: Final = ("xrange", "xrevrange")
_SETTLE: Final = frozenset(("xack", "xackdel"))
_SHAPES: Final[dict[str, Callable[[_Read, Any, Any], Any]]] = {
    "xread": _streams,
    "xreadgroup": _streams,
    "xclaim": _entries,
    "xautoclaim": _claimed,
    "xrange": _entries,
    "xrevrange": _entries,
}
_COMMANDS: Final = "redis.commands.core:StreamCommands"

instrumentation = Instrumentation(
    name="redis_streams",
    library="redis",
    versions=">=5.0,<9",
    patches=(
        Patch(f"{_COMMANDS}.xadd", _xadd),
        *(Patch(f"{_COMMANDS}.{command}", partial(_pull, command)) for command in _PULLS),
        *(Patch(f"{_COMMANDS}.{command}", partial(_look, command)) for command in _LOOKS),
        *(Patch(f"{_COMMANDS}.{command}", message.settled, optional=True) for command in sorted(_SETTLE)),
        Patch("redis.client:Pipeline.execute", _execute),
        Patch("redis.asyncio.client:Pipeline.execute", _execute),
    ),
)
