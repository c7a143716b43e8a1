"""Whether the probe can be read back: from `mmtrace serve` or Jaeger, by Jaeger's query API.

Source: https://www.jaegertracing.io/docs/latest/architecture/apis/#query-http (api_v3).
"""

import email.utils
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import urllib3
from urllib3.exceptions import HTTPError

from mmtrace.doctor.destinations import Destination
from mmtrace.doctor.findings import Finding, Section
from mmtrace.doctor.probe import Probe
from mmtrace.errors import DecodeError
from mmtrace.otlp.decode import decode_traces_json

_JAEGER: Final = 16686
_PAUSE: Final = 0.25
_SKEW: Final = 1.0
"""Seconds that clocks may differ: more is seen in every trace that crosses both machines."""
_MOST: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Backend:
    """Where traces may be asked for; `sure` where it must have the probe, and is not just a guess."""

    base: str
    headers: Mapping[str, str]
    certificate: str | None
    sure: bool


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes
    skew: float | None


def read_back(destination: Destination, probe: Probe, query: str, wait: float) -> Section:
    """Look for the probe for `wait` seconds; `query`: the base address to ask, guesses where it is empty."""
    for backend in _candidates(destination, query):
        answer = _ask(backend, "/api/v3/services")
        if answer is not None and _is_query_api(answer):
            found = [_found(backend, probe, wait), *_clocks(backend, answer)]
            return Section("Reading back", tuple(found), facts={"query": backend.base, "trace_id": probe.trace_id})
    if query:
        finding = Finding("problem", f"{query} answers no queries for traces (/api/v3/services)")
    else:
        text = "whether the probe went on from there cannot be asked: the receiver answers no queries for traces"
        finding = Finding("note", text, "--query names the address of Jaeger or `mmtrace serve`")
    return Section("Reading back", (finding,), facts={"trace_id": probe.trace_id})


def _candidates(destination: Destination, query: str) -> Iterator[Backend]:
    if query:
        yield Backend(query.rstrip("/"), {}, None, sure=True)
        return
    host = f"[{destination.host}]" if ":" in destination.host else destination.host
    scheme = "https" if destination.secure else "http"
    target = destination.first
    own = destination.port if destination.protocol != "grpc" else 4318
    yield Backend(f"{scheme}://{host}:{own}", target.headers, target.certificate, sure=destination.protocol != "grpc")
    yield Backend(f"http://{host}:{_JAEGER}", {}, None, sure=False)


def _ask(backend: Backend, path: str) -> _Answer | None:
    given: dict[str, Any] = {"ca_certs": backend.certificate} if backend.certificate else {}
    manager = urllib3.PoolManager(**given)
    try:
        before = time.time()
        headers = {"Accept": "application/json", **backend.headers}
        response = manager.request("GET", backend.base + path, headers=headers, timeout=3.0, retries=False)
        return _Answer(response.status, response.data[:_MOST], _skew(response.headers.get("Date"), before, time.time()))
    except HTTPError:
        return None
    finally:
        manager.clear()


def _is_query_api(answer: _Answer) -> bool:
    """Whether it is the list of services; Jaeger leaves an empty list out."""
    try:
        told = json.loads(answer.body)
    except ValueError:
        return False
    return answer.status == 200 and isinstance(told, dict) and told.keys() <= {"services"}


def _found(backend: Backend, probe: Probe, wait: float) -> Finding:
    began = time.monotonic()
    while True:
        answer = _ask(backend, f"/api/v3/traces/{probe.trace_id}")
        if answer is not None and _has(answer, probe):
            took = time.monotonic() - began
            return Finding("ok", f"the probe was read back after {took:.1f} s: {backend.base}/trace/{probe.trace_id}")
        if time.monotonic() - began + _PAUSE > wait:
            break
        time.sleep(_PAUSE)
    text = f"the probe was accepted, but {backend.base} does not have it after {wait:g} s (trace {probe.trace_id})"
    advice = "A Collector between samples or queues it, or sends to another place; --wait waits longer"
    return Finding("problem" if backend.sure else "note", text, advice)


def _has(answer: _Answer, probe: Probe) -> bool:
    try:
        result = json.loads(answer.body)["result"]
        spans = decode_traces_json(json.dumps(result))
    except (ValueError, KeyError, TypeError, DecodeError):
        return False
    return any(f"{span.span_id:016x}" == probe.span_id and span.service == probe.service for span in spans)


def _clocks(backend: Backend, answer: _Answer) -> Iterator[Finding]:
    if answer.skew is None:
        return
    if abs(answer.skew) <= _SKEW:
        yield Finding("ok", f"the clock of {backend.base} says the same as ours, to the second")
        return
    way = "ahead of" if answer.skew > 0 else "behind"
    text = f"the clock of {backend.base} is at least {abs(answer.skew):.0f} s {way} the one of this machine"
    yield Finding("problem", text, "Synchronise both (NTP, chrony): spans of both machines stand apart in a trace")


def _skew(date: str | None, before: float, after: float) -> float | None:
    """Return how far a server's clock is ahead of ours at least, 0 where both may be right; Date has whole seconds."""
    try:
        there = email.utils.parsedate_to_datetime(date or "").timestamp()
    except (TypeError, ValueError):
        return None
    return max(there - after, 0.0) or min(there + 1 - before, 0.0)
