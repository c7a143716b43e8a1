"""Messages through a broker: sent, pulled, and worked on.

A message that is sent carries the context of the span that sent it and the time of that. A pull that gives one message
makes the work on it current, a CONSUMER span that is the sender's child, until the next pull, an acknowledgement or the
end of the task. A pull that gives several makes a span that is linked to the sender of each, and the work on each is
current in its turn while the list is iterated.

A library file says what it sends and how it reads what came:

    def _xadd(wrapped, client, args, kwargs):
        name, fields, *rest = args
        sending = message.sending(Channel("redis", name), "xadd", fields)
        return sending.run(wrapped, (name, sending.headers(fields), *rest), kwargs)

    def _xread(wrapped, client, args, kwargs):
        return message.pull(wrapped, args, kwargs, _read)       # _read fills a Pull, and returns what the caller gets

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/ lets the sender be the parent of the work on a
message that is worked on alone.
"""

import inspect
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from opentelemetry.propagate import get_global_textmap
from typing_extensions import Self

from mmtrace import attributes as names
from mmtrace.instrumenting import (
    Call,
    Context,
    Link,
    SpanContext,
    SpanKind,
    arrival_of,
    enter_pulled,
    extract,
    get_current_span,
    inject,
    leave_pulled,
    never_raises,
    options,
    suppressed,
)
from mmtrace_instrumentation.shapes.exchange import Exchange, Untraced

_T = TypeVar("_T")
_Function: TypeAlias = Callable[..., Any]
_Read: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Channel:
    """Where messages go: the system, the destination (topic, queue, stream), and the group of their consumers."""

    system: str
    destination: str
    group: str = ""

    def attributes(self, operation: str, kind: str) -> dict[str, Any]:
        """Return the attributes of a span of `operation`, which is of type `kind`."""
        found = {
            names.MESSAGING_SYSTEM: self.system,
            names.MESSAGING_OPERATION_NAME: operation,
            names.MESSAGING_OPERATION_TYPE: kind,
            names.MESSAGING_DESTINATION_NAME: self.destination,
            names.MESSAGING_CONSUMER_GROUP_NAME: self.group,
        }
        return {key: value for key, value in found.items() if value}


def carried_names() -> frozenset[str]:
    """Return the names of all headers that senders of ours write."""
    return frozenset((names.ARRIVAL_FIELD, "traceparent", "tracestate", "baggage", *get_global_textmap().fields))


# --- sending --------------------------------------------------------------------------------------------------------


class Send(Exchange):
    """The sending of one message."""

    __slots__ = ("_carries",)

    _carries: bool

    @classmethod
    def to(cls, channel: Channel, operation: str, attributes: Mapping[str, Any], *, carries: bool) -> Self:
        """Start to send to `channel`."""
        given = {**channel.attributes(operation, "send"), **attributes}
        kind = SpanKind.PRODUCER if carries else SpanKind.CLIENT
        call = cls.start(f"{operation} {channel.destination}", kind=kind, attributes=given)
        call._carries = carries
        return call

    def headers(self, present: Any) -> Any:
        """Return a copy of the headers `present`, a mapping, pairs or None, that carries the context as well."""
        if not self._carries:
            return present
        copied: Any = dict(present) if isinstance(present, Mapping) else list(present or ())
        return inject(copied, self.context, arrival_ns=self.start_time)

    def run(self, function: _Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Send by calling `function`, which may return a coroutine."""
        with self.starting():
            result = function(*args, **kwargs)
        if inspect.iscoroutine(result):
            return self._run_later(result)
        self.end()
        return result

    async def _run_later(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        with self:
            return await coroutine


class _NotSent(Untraced):
    """A message whose sending nobody records."""

    def headers(self, present: Any) -> Any:
        """Return the headers as they are."""
        return present

    def run(self, function: _Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Call `function`."""
        return function(*args, **kwargs)


_NOT_SENT: Final = _NotSent()


def sending(
    channel: Channel, operation: str, present: Any, attributes: Mapping[str, Any] | None = None
) -> Send | _NotSent:
    """Return the block in which a message is sent whose headers are `present`: a mapping, pairs or None.

    A context that the caller put there stays what it is; one that came with a message that is sent on is replaced.
    """
    if suppressed():
        return _NOT_SENT
    carries = options().carries(channel.system) and (arrival_of(present) is not None or not has_context(present))
    return Send.to(channel, operation, attributes or {}, carries=carries)


def has_context(headers: Any) -> bool:
    """Whether `headers`, a mapping, pairs or None, have a name that senders of ours write."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers or ()
    return not carried_names().isdisjoint(text(name).lower() for name, _ in pairs)


def text(value: Any) -> str:
    """Return a name as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


# --- pulling --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Message:
    """One message that was pulled: its channel, its headers, and attributes of its own."""

    channel: Channel
    headers: Any
    attributes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sender(self) -> SpanContext:
        """The span that sent it; an invalid one where it does not tell."""
        return _span_in(extract(self.headers))

    def started(self) -> Call:
        """Start the work on it, in the sender's trace if there is one."""
        carried, here = extract(self.headers), _span_in(None)
        sent, parent = arrival_of(self.headers), carried if _span_in(carried).is_valid else None
        elsewhere = parent is not None and here.is_valid and here.trace_id != _span_in(carried).trace_id
        call = Call.start(
            f"process {self.channel.destination}",
            kind=SpanKind.CONSUMER,
            parent=parent,
            links=[Link(here)] if elsewhere else [],
            attributes={**self.channel.attributes("process", "process"), **self.attributes},
        )
        if sent is not None:
            call.set_attribute(names.QUEUE_DURATION, max(0, call.start_time - sent) / 1e9)
            if sent > call.start_time:
                call.set_attribute(names.QUEUE_SKEWED, True)
        return call


def _span_in(context: Context | None) -> SpanContext:
    return get_current_span(context).get_span_context()


def pull(function: _Function, args: Sequence[Any], kwargs: Mapping[str, Any], read: _Read) -> Any:
    """Pull by calling `function`, which may return a coroutine; return what `read` makes of the result."""
    leave_pulled()
    return then(function(*args, **kwargs), read)


def settled(function: _Function, instance: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Wrapper of a method that acknowledges what was pulled, or stops to pull: the work on the last message is done.

    One that returns `instance` itself has but noted that it is to be done.
    """
    return then(function(*args, **kwargs), partial(_left, instance))


def _left(instance: Any, result: Any) -> Any:
    if result is not instance:
        leave_pulled()
    return result


def then(result: Any, read: _Read) -> Any:
    """Return what `read` makes of `result`, or of what it gives if it is a coroutine."""
    return _then(result, read) if inspect.iscoroutine(result) else read(result)


async def _then(coroutine: Coroutine[Any, Any, Any], read: _Read) -> Any:
    return read(await coroutine)


class InTurn(list[_T]):
    """A list of what was pulled together; once `together` is set, iterating makes the work on each message current."""

    def __init__(self, items: Iterable[_T], messages: Iterable[Message | None]) -> None:
        super().__init__(items)
        self.together: Context | None = None
        self.messages = [message for message in messages if message is not None]
        self._of = {id(item): (item, message) for item, message in zip(self, messages, strict=True)}

    def __iter__(self) -> Iterator[_T]:
        return super().__iter__() if self.together is None else self._each(self.together)

    def _each(self, together: Context) -> Iterator[_T]:
        work: Call | None = None
        for item in super().__iter__():
            leave_pulled()
            work = work_on(self._of.get(id(item), (None, None))[1])
            yield item
        if work is None or not work.ended:  # what comes next is about all of them
            leave_pulled()
            enter_pulled(together)

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(super().__iter__()),)


class Pull:
    """What one pull gave; `done()` when all of it is read."""

    __slots__ = ("_lists",)

    def __init__(self) -> None:
        self._lists: list[InTurn[Any]] = []

    def items(self, items: Sequence[_T], messages: Sequence[Message | None]) -> list[_T]:
        """Return the list that the caller gets: `items` and the message in each, None where there is none."""
        found = InTurn(items, messages)
        self._lists.append(found)
        return found

    @never_raises
    def done(self) -> None:
        """Make current the work on the only message, or what several have in common."""
        messages = [message for found in self._lists for message in found.messages]
        if len(messages) == 1:
            work_on(messages[0])
        elif messages and not suppressed():
            together = _received(messages)
            for found in self._lists:
                found.together = together


@never_raises
def work_on(message: Message | None) -> Call | None:
    """Make the work on `message` current until the next pull."""
    if message is None or suppressed():
        return None
    call = message.started()
    enter_pulled(call.context, call)
    return call


def _received(messages: Sequence[Message]) -> Context:
    """Record that several messages came at once; what is done with all of them happens in the context returned."""
    first, senders = messages[0].channel, [message.sender for message in messages]
    alone = len({message.channel.destination for message in messages}) == 1
    channel = first if alone else Channel(first.system, "", first.group)
    attributes = {**channel.attributes("receive", "receive"), names.MESSAGING_BATCH_MESSAGE_COUNT: len(messages)}
    links = [Link(sender) for sender in senders if sender.is_valid]
    name = f"receive {channel.destination}".rstrip()
    call = Call.start(name, kind=SpanKind.CLIENT, links=links, attributes=attributes)
    call.end()
    enter_pulled(call.context)
    return call.context
