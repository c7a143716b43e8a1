"""What a metric, its labels and its values are called in Prometheus.

Source: "Prometheus and OpenMetrics Compatibility" of the OpenTelemetry specification, with UCUM's units written out, so
that a metric has the same name whether Prometheus scrapes it or receives it by OTLP.
"""

import base64
import json
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

_UNITS: Final = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "%": "percent",
    "1": "",
}
_PER: Final = {"s": "second", "m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month", "y": "year"}
_ANNOTATION: Final = re.compile(r"\{[^}]*\}")
_NO_WORD: Final = re.compile(r"[^a-zA-Z0-9]+")
_NO_LABEL: Final = re.compile(r"[^a-zA-Z0-9_]")


def family_name(name: str, unit: str, kind: Kind) -> tuple[str, str]:
    """Return the name of the family, which for a counter lacks `_total`, and the unit that it ends in, if any.

    >>> family_name("mmtrace.model.call.duration", "s", "histogram")
    ('mmtrace_model_call_duration_seconds', 'seconds')
    >>> family_name("mmtrace.model.tokens", "{token}", "counter")
    ('mmtrace_model_tokens', '')
    """
    words = [word for word in _NO_WORD.split(name) if word]
    if kind == "counter":
        words = [word for word in words if word != "total"]
    unit_words = _unit_words(unit, kind)
    words += [word for word in unit_words if word not in words]
    joined = "_".join(words) or "_"
    written = "_".join(unit_words)
    if joined[0].isdigit():
        joined = f"_{joined}"
    return joined, written if written and joined.endswith(f"_{written}") else ""


def _unit_words(unit: str, kind: Kind) -> list[str]:
    if unit == "1":
        return ["ratio"] if kind == "gauge" else []
    main, _, per = _ANNOTATION.sub("", unit).strip().partition("/")
    words = _words(_UNITS.get(main.strip(), main))
    per_words = _words(_PER.get(per.strip(), per))
    return [*words, "per", *per_words] if per_words else words


def _words(text: str) -> list[str]:
    return [word for word in _NO_WORD.split(text) if word]


def labels(attributes: Mapping[str, Any] | None, reserved: frozenset[str] = frozenset()) -> dict[str, str]:
    """Return `attributes` as labels; empty ones are left out, and values of keys that become one are joined by `;`.

    A key that becomes one of `reserved` gets the prefix that Prometheus itself gives in such a case.
    """
    found: dict[str, list[str]] = {}
    for key in sorted(attributes or {}):
        text = label_value((attributes or {})[key])
        if text:
            label = label_name(key)
            found.setdefault(f"exported_{label}" if label in reserved else label, []).append(text)
    return {label: ";".join(texts) for label, texts in found.items()}


def label_name(key: str) -> str:
    """Return `key` as the name of a label."""
    name = _NO_LABEL.sub("_", key) or "_"
    if name[0].isdigit():
        return f"key_{name}"
    return f"key{name}" if name.startswith("__") else name


def label_value(value: Any) -> str:
    """Return `value` as text that UTF-8 can hold: strings as they are, everything else as JSON."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, default=str)
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
