"""confluent-kafka: producers and consumers, also serializing ones, and asyncio's consumer.

The classes are written in C and take no wrapped methods: subclasses of them, which do, stand in their place. asyncio's
producer and `produce_batch` send without headers, so that no context can follow.
"""

from collections.abc import Generator, Mapping, MutableMapping
from functools import cache, partial
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

from mmtrace import attributes as names
from mmtrace.instrumenting import Instrumentation, Patch
from mmtrace_instrumentation.shapes import message
from mmtrace_instrumentation.shapes.message import Channel, Message, Pull

_Args: TypeAlias = tuple[Any, ...]
_Kwargs: TypeAlias = dict[str, Any]

# --- producers ------------------------------------------------------------------------------------------------------

_PRODUCE: Final = ("topic", "value", "key", "partition", "callback", "on_delivery", "timestamp", "headers")


def _produce(wrapped: Any, producer: Any, args: _Args, kwargs: _Kwargs) -> Generator[Any, None, None]:
    given = {**dict(zip(_PRODUCE, args, strict=False)), **kwargs}
    topic, headers, partition = given.get("topic", ""), given.get("headers"), given.get("partition", -1)
    attributes = _attributes(given.get("key"), given.get("value"), partition)
    with message.sending(Channel("kafka", str(topic)), "send", headers, attributes) as sending:
        at = _PRODUCE.index("headers")
        yield args[:at], {**kwargs, "headers": sending.headers(headers)}


def _attributes(key: Any, value: Any, partition: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(partition, int) and partition >= 0:
        found[names.MESSAGING_DESTINATION_PARTITION_ID] = str(partition)
    if isinstance(key, (str, bytes)):
        found[names.MESSAGING_KAFKA_MESSAGE_KEY] = message.text(key)
    if value is None:
        found[names.MESSAGING_KAFKA_MESSAGE_TOMBSTONE] = True
    return found


# --- consumers ------------------------------------------------------------------------------------------------------

_groups: Final[MutableMapping[Any, str]] = WeakKeyDictionary()


def _configured(wrapped: Any, consumer: Any, args: _Args, kwargs: _Kwargs) -> Generator[None, None, None]:
    configuration: Mapping[str, Any] = {**(args[0] if args else {}), **kwargs}
    yield
    _groups[consumer] = str(configuration.get("group.id", ""))


def _poll(wrapped: Any, consumer: Any, args: _Args, kwargs: _Kwargs) -> Any:
    return message.pull(wrapped, args, kwargs, partial(_polled, consumer))


def _polled(consumer: Any, found: Any) -> Any:
    if found is not None:
        message.work_on(_message(consumer, found))
    return found


def _consume(wrapped: Any, consumer: Any, args: _Args, kwargs: _Kwargs) -> Any:
    return message.pull(wrapped, args, kwargs, partial(_consumed, consumer))


def _consumed(consumer: Any, found: Any) -> Any:
    pull = Pull()
    in_turn = pull.items(found, [_message(consumer, one) for one in found])
    pull.done()
    return in_turn


def _message(consumer: Any, found: Any) -> Message | None:
    if found.error() is not None:
        return None
    group = _groups.get(getattr(consumer, "_consumer", consumer), "")
    attributes = _attributes(found.key(), found.value(), found.partition())
    attributes[names.MESSAGING_KAFKA_OFFSET] = found.offset()
    return Message(Channel("kafka", found.topic(), group), found.headers(), attributes)


def _unseen(wrapped: Any, consumer: Any, args: _Args, kwargs: _Kwargs) -> Generator[Any, None, None]:
    """Let asyncio's consumer, which is traced itself, call methods of ours in its threads as if they were not ours."""
    method, *rest = args
    yield (getattr(method, "__wrapped__", method), *rest), kwargs


# --- classes --------------------------------------------------------------------------------------------------------


@cache
def _subclass(original: Any) -> Any:
    return _like(original, original)


@cache
def _derived(base: str, original: Any) -> Any:
    """Return a subclass of `original`, a producer or consumer of its own, that is one of ours as well."""
    import confluent_kafka

    return _like(original, original, getattr(confluent_kafka, base))


def _like(original: Any, *bases: Any) -> Any:
    described = {name: getattr(original, name) for name in ("__module__", "__qualname__", "__doc__")}
    made: Any = type(original.__name__, bases, described)
    if hasattr(original, "__parameters__"):
        made.__parameters__ = original.__parameters__
    return made


_SETTLE: Final = ("commit", "close")
_AIO: Final = "confluent_kafka.aio:AIOConsumer"

instrumentation = Instrumentation(
    name="confluent_kafka",
    library="confluent-kafka",
    versions=">=2.0,<3",
    patches=(
        Patch("confluent_kafka:Producer", replace=_subclass),
        Patch("confluent_kafka:Consumer", replace=_subclass),
        Patch("confluent_kafka:SerializingProducer", replace=partial(_derived, "Producer")),
        Patch("confluent_kafka:DeserializingConsumer", replace=partial(_derived, "Consumer")),
        Patch("confluent_kafka:Producer.produce", _produce),
        Patch("confluent_kafka:Consumer.__init__", _configured),
        Patch("confluent_kafka:Consumer.poll", _poll),
        Patch("confluent_kafka:Consumer.consume", _consume),
        *(Patch(f"confluent_kafka:Consumer.{name}", message.settled) for name in _SETTLE),
        Patch("confluent_kafka:Consumer.__exit__", message.settled, optional=True),
        Patch(f"{_AIO}.poll", _poll),
        Patch(f"{_AIO}.consume", _consume),
        *(Patch(f"{_AIO}.{name}", message.settled) for name in _SETTLE),
        Patch(f"{_AIO}._call", _unseen),
    ),
    superseded_by=("opentelemetry.instrumentation.confluent_kafka",),
)
