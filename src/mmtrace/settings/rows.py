"""What a row of the table of settings is, and how its value is found."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Final, TypeAlias, TypeVar

from mmtrace.errors import ConfigurationError, nearest
from mmtrace.recording.guard import report
from mmtrace.settings.kinds import Kind
from mmtrace.transport.signals import Signal

T = TypeVar("T")
PerSignal: TypeAlias = tuple[T, T, T]
"""A value for traces, metrics and logs; indexed by `Signal`."""

_OWN: Final = "MMTRACE_"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of the environment; `{SIGNAL}` in its name stands for TRACES, METRICS or LOGS."""

    name: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table; `variables` are asked in order, none where only an argument can give the value."""

    name: str
    default: Any
    kind: Kind
    variables: tuple[Variable, ...]
    help: str
    per_signal: bool = False
    secret: bool = False

    def value(self, environ: Mapping[str, str], argument: Any) -> Any:
        """Return the value that the sources give, for each signal where they may differ. Raises ConfigurationError."""
        if not self.per_signal:
            return self._chosen(environ, argument, "", self.default)
        signals = zip(Signal, self.default, strict=True)
        return tuple(self._chosen(environ, argument, signal.name, default) for signal, default in signals)

    def _chosen(self, environ: Mapping[str, str], argument: Any, signal: str, default: Any) -> Any:
        given = (value for _, value in self._given(environ, argument, signal))
        if self.kind.merges:
            return {key: value for source in reversed(list(given)) for key, value in source.items()}
        return next(given, default)

    def sources(self, environ: Mapping[str, str], argument: Any, signal: str = "") -> tuple[str, ...]:
        """Return the variables that the value of `signal` comes from, its own name for an argument; none for defaults.

        Raises ConfigurationError.
        """
        found = tuple(source for source, _ in self._given(environ, argument, signal))
        return found if self.kind.merges else found[:1]

    def _given(self, environ: Mapping[str, str], argument: Any, signal: str) -> Iterator[tuple[str, Any]]:
        """Yield what the sources say, each with its name, the strongest first."""
        read = None if argument is None else _read(self.kind, argument, self.name)
        if read is not None:
            yield self.name, read
        for variable in self.variables:
            name = variable.name.format(SIGNAL=signal)
            text = environ.get(name, "").strip()
            if not text:
                continue
            try:
                read = _read(variable.kind, text, name)
            except ConfigurationError as error:
                if name.startswith(_OWN) or not variable.kind.lenient:
                    raise
                report(f"mmtrace.settings {name}", f"mmtrace: {error}; it is left out")
                continue
            if read is not None:
                yield name, read


def _read(kind: Kind, value: Any, where: str) -> Any:
    try:
        return kind.read(value)
    except ValueError as error:
        raise ConfigurationError(f"{where}={value!r} is wrong: {error}") from None


def setting(
    default: T,
    kind: Kind,
    variables: Iterable[str | Variable] | None,
    help: str,  # noqa: A002 - the word that everybody knows
    *,
    per_signal: bool = False,
    secret: bool = False,
) -> T:
    """Return the field of a dataclass that is a row: `variables` beside its own, or None for an argument only."""
    row = {"default": default, "kind": kind, "variables": variables, "help": help, "per_signal": per_signal}
    row["secret"] = secret
    made: T = field(default_factory=lambda: default, repr=not secret, metadata=row)
    return made


def standard(name: str, kind: Kind) -> Variable:
    """Return an OTEL_* variable that is read in a way of its own."""
    return Variable(f"OTEL_{name}", kind)


def otlp(name: str) -> tuple[str, str]:
    """Return the variable of a signal and the general one of an option of OTLP exporters."""
    return f"OTEL_EXPORTER_OTLP_{{SIGNAL}}_{name}", f"OTEL_EXPORTER_OTLP_{name}"


def each(value: T) -> PerSignal[T]:
    """Return `value` for each signal."""
    return value, value, value


def rows_of(table: Any) -> Iterator[Setting]:
    """Yield the rows that the fields of a dataclass are; each has MMTRACE_ and its name as its first variable."""
    for column in fields(table):
        row = dict(column.metadata)
        row["variables"] = tuple(_variables(column.name, row["kind"], row["variables"]))
        yield Setting(name=column.name, **row)


def _variables(name: str, kind: Kind, others: Iterable[str | Variable] | None) -> Iterator[Variable]:
    if others is not None:
        for variable in (_OWN + name.upper(), *others):
            yield variable if isinstance(variable, Variable) else Variable(variable, kind)


def refuse_unknown(rows: Sequence[Setting], environ: Mapping[str, str], arguments: Mapping[str, Any]) -> None:
    """Raise ConfigurationError for an argument or an MMTRACE_* variable that no row has."""
    known = {row.name for row in rows}
    for name in arguments:
        if name not in known:
            raise ConfigurationError(f"there is no setting {name!r}: {nearest(name, known)}")
    variables = {variable.name for row in rows for variable in row.variables if variable.name.startswith(_OWN)}
    for name in environ:
        if name.startswith(_OWN) and name not in variables:
            raise ConfigurationError(f"there is no variable {name}: {nearest(name, variables)}")


def as_markdown(rows: Iterable[Setting]) -> str:
    """Return the rows as a table for the documentation."""
    lines = ["| argument | variables | default | meaning |", "|---|---|---|---|"]
    for row in rows:
        variables = ", ".join(f"`{variable.name.replace('{SIGNAL}', '*')}`" for variable in row.variables)
        lines.append(f"| `{row.name}` | {variables or 'none'} | {_shown(row)} | {row.help} |")
    return "\n".join(lines) + "\n"


def _shown(row: Setting) -> str:
    default = row.default[0] if row.per_signal else row.default
    if default is None or default in ("", (), {}):
        return ""
    return f"`{','.join(default) if isinstance(default, tuple) else default}`"
