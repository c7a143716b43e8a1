"""Each receiver that the settings name: whether it takes what is sent, and which mistake it is where it does not."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from mmtrace.doctor.findings import Finding, Section
from mmtrace.doctor.network import Seen, in_container, is_loopback, is_open, is_own, look
from mmtrace.doctor.probe import Probe
from mmtrace.errors import ConfigurationError
from mmtrace.export.otlp import otlp
from mmtrace.export.target import Target
from mmtrace.settings import Settings
from mmtrace.transport import Outcome, Signal

_PORTS: Final = {"http/protobuf": 4318, "grpc": 4317}
_NAMES: Final = {"http/protobuf": "OTLP over HTTP", "grpc": "OTLP over gRPC"}


@dataclass(frozen=True, slots=True)
class Destination:
    """One receiver, for all signals that go to its host and port by one protocol."""

    protocol: str
    host: str
    port: int
    targets: dict[Signal, Target]

    @property
    def first(self) -> Target:
        """The target of its first signal."""
        return next(iter(self.targets.values()))

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken with it."""
        scheme = urlsplit(self.first.url).scheme
        return scheme == "https" or (scheme != "http" and not self.first.insecure)


def destinations(settings: Settings) -> list[Destination]:
    """Return the receivers of OTLP that the settings name."""
    found: dict[tuple[str, str, int], Destination] = {}
    for signal in settings.signals("otlp"):
        protocol, target = settings.protocol[signal], settings.target(signal)
        place = (protocol, *_host_and_port(protocol, target.url))
        found.setdefault(place, Destination(*place, {})).targets[signal] = target
    return list(found.values())


def _host_and_port(protocol: str, url: str) -> tuple[str, int]:
    parts = urlsplit(url if "://" in url else f"//{url}")
    default = {"http": 80, "https": 443}.get(parts.scheme, 443) if protocol != "grpc" else _PORTS["grpc"]
    try:
        port = parts.port or default
    except ValueError:
        port = default
    return parts.hostname or "", port


def examine(destination: Destination, probe: Probe, seconds: float) -> tuple[Section, bool]:
    """Send the probe, and requests of nothing for the other signals; return what came of it, and whether it arrived."""
    signals = ", ".join(signal.label for signal in destination.targets)
    title = f"{signals}: {destination.first.where if len(destination.targets) == 1 else _base(destination)}"
    outcomes: dict[Signal, Outcome] = {}
    try:
        found = list(_sent(destination, probe, seconds, outcomes))
    except ConfigurationError as error:
        found = [Finding("problem", str(error))]
    facts = {"protocol": destination.protocol, "url": destination.first.where, "signals": signals.split(", ")}
    arrived = Signal.TRACES in outcomes and outcomes[Signal.TRACES].kind == "accepted"
    return Section(f"{title} ({_NAMES[destination.protocol]})", tuple(found), facts=facts), arrived


def _base(destination: Destination) -> str:
    parts = urlsplit(destination.first.where)
    return parts._replace(path="").geturl() if parts.netloc else destination.first.where


def _sent(destination: Destination, probe: Probe, seconds: float, outcomes: dict[Signal, Outcome]) -> Iterator[Finding]:
    exporter = otlp(destination.protocol, destination.targets)
    try:
        for signal, target in destination.targets.items():
            traces = signal is Signal.TRACES
            began = time.perf_counter()
            outcome = exporter.export(signal, probe.body if traces else b"", int(traces), seconds)
            outcomes[signal] = outcome
            yield from _told(signal, outcome, time.perf_counter() - began, outcomes)
            if outcome.kind != "accepted":
                yield from explained(destination, target, outcome, seconds)
            if not outcome.answered:
                yield from _not_tried(list(destination.targets)[len(outcomes) :])
                return
    finally:
        exporter.close()


def _not_tried(signals: Sequence[Signal]) -> Iterator[Finding]:
    if signals:
        yield Finding(
            "note", f"{', '.join(signal.label for signal in signals)}: not tried, as they go to the same host"
        )


def _told(signal: Signal, outcome: Outcome, seconds: float, outcomes: dict[Signal, Outcome]) -> Iterator[Finding]:
    took = f"in {seconds * 1000:.0f} ms"
    what = "the probe" if signal is Signal.TRACES else "a request with nothing in it"
    if outcome.kind == "accepted" and not outcome.rejected:
        yield Finding("ok", f"{signal.label}: {what} was accepted {took}")
    elif outcome.kind == "accepted":
        yield Finding("problem", f"{signal.label}: {what} was rejected: {outcome.message}")
    elif outcome.kind == "unsupported" and signal is not Signal.TRACES and _takes_traces(outcomes):
        advice = f"They are left out from then on; OTEL_{signal.name}_EXPORTER=none leaves them out at once"
        yield Finding("note", f"{signal.label}: {outcome.message}", advice)
    else:
        yield Finding("problem", f"{signal.label}: {outcome.message}")


def _takes_traces(outcomes: dict[Signal, Outcome]) -> bool:
    return Signal.TRACES in outcomes and outcomes[Signal.TRACES].kind == "accepted"


def explained(destination: Destination, target: Target, outcome: Outcome, seconds: float) -> Iterator[Finding]:
    """Yield what else is to be seen from here of a receiver that did not take what was sent."""
    if target.proxy is not None:
        text = f"requests go through the proxy {Target(target.proxy).where}"
        yield Finding("note", text, "NO_PROXY names the hosts that need none")
    elif not outcome.answered and destination.host:
        seen = look(destination.host, destination.port, min(seconds, 3.0), target.certificate)
        yield from _of(destination, seen, outcome.message, min(seconds, 1.0))


def _of(destination: Destination, seen: Seen, said: str, seconds: float) -> Iterator[Finding]:
    host, port = destination.host, destination.port
    if seen.reached == "unknown host":
        advice = "Look for a misspelling; between containers, name the service, and be in one network with it"
        yield Finding("note", f"no name server knows {host}", advice)
    elif seen.reached == "refused":
        yield from _refused(host, port, seen.addresses, seconds)
    elif seen.reached == "no route":
        text = f"there is no route to {_list(seen.addresses)}"
        yield Finding("note", text, "It is in another network, a VPN is off, or the address is wrong")
    elif seen.reached == "silent":
        text = f"{_list(seen.addresses)} says nothing on port {port}, not even that nobody listens"
        yield Finding("note", text, "A firewall or security group drops it, or the address is wrong")
    else:
        yield from (finding for word, finding in _spoken(destination, seen) if word not in said)


def _refused(host: str, port: int, addresses: Sequence[str], seconds: float) -> Iterator[Finding]:
    if "127.0.0.1" not in addresses and any(map(is_own, addresses)) and is_open("127.0.0.1", port, seconds):
        text = f"somebody listens on port {port} of this machine, but on 127.0.0.1 only"
        yield Finding("note", text, _LISTEN.format(port=port))
    elif is_loopback(addresses) and in_container():
        text = f"inside a container, {host} is the container itself"
        yield Finding("note", text, "Name the receiver's container or service, or host.docker.internal for the host")
    elif not is_loopback(addresses):
        text = f"{host} is there, and says that nobody listens on port {port} where others can reach it"
        yield Finding("note", text, f"It is not started, its port is not published, or: {_LISTEN.format(port=port)}")
    for protocol, other in _PORTS.items():
        if other != port and is_open(host, other, seconds):
            text = f"somebody listens on port {other} there, as {_NAMES[protocol]} does"
            yield Finding("note", text, f"Set the endpoint to it, with OTEL_EXPORTER_OTLP_PROTOCOL={protocol}")


_LISTEN: Final = (
    "Let the receiver listen on all addresses: `endpoint: 0.0.0.0:{port}` in a Collector, `--host 0.0.0.0` of "
    "`mmtrace serve`"
)


def _spoken(destination: Destination, seen: Seen) -> Iterator[tuple[str, Finding]]:
    """Yield which protocol does not fit, each with the word that the exporter's own message has where it says so."""
    port, grpc = destination.port, destination.protocol == "grpc"
    if grpc and seen.speaks == "http/1":
        advice = "Use the port of OTLP over gRPC, 4317 as a rule, or set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf"
        yield "HTTP/1", Finding("note", f"port {port} speaks HTTP/1, as OTLP over HTTP does", advice)
    elif not grpc and seen.speaks == "http/2":
        advice = "Use the port of OTLP over HTTP, 4318 as a rule, or set OTEL_EXPORTER_OTLP_PROTOCOL=grpc"
        yield "HTTP/2", Finding("note", f"port {port} speaks HTTP/2, as OTLP over gRPC does", advice)
    if seen.speaks == "tls" and not destination.secure:
        advice = "Set the endpoint to https:// in place of http://"
        yield "it speaks TLS", Finding("note", f"port {port} speaks TLS", advice)
    elif seen.speaks == "tls" and seen.untrusted:
        advice = "OTEL_EXPORTER_OTLP_CERTIFICATE names the certificate to trust"
        yield "_CERTIFICATE", Finding("note", f"its certificate is not trusted: {seen.untrusted}", advice)
    elif seen.speaks.startswith("http") and destination.secure:
        advice = "Set the endpoint to http://, or OTEL_EXPORTER_OTLP_INSECURE=true where it has no scheme"
        yield "it speaks no TLS", Finding("note", f"port {port} speaks no TLS", advice)


def _list(addresses: Iterable[str]) -> str:
    return " and ".join(addresses)
