"""One trace: where its time went, and the waterfall of its spans."""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from mmtrace.analysis import Phase, Share, TimeSpent, time_spent
from mmtrace.server.pages.details import details, log_lines
from mmtrace.server.pages.links import Ends, link_ends
from mmtrace.server.pages.shell import Shell
from mmtrace.server.pages.waterfall import columns
from mmtrace.spans import Trace


@dataclass(frozen=True, slots=True)
class Segment:
    """One share as a part of the bar; `left` and `width` in percent, `key` its name in the address."""

    share: Share
    left: float
    width: float
    key: str


@dataclass(frozen=True, slots=True)
class Group:
    """The segments of one model, side by side."""

    model: str | None
    service: str | None
    left: float
    width: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in words: which model took most of the time, on what, and the batch that it waited for."""

    model: str
    service: str
    fraction: float
    shares: tuple[Share, ...]
    batch: str | None


class TracePage:
    """Shows one trace."""

    def __init__(self, shell: Shell) -> None:
        self._shell = shell
        self._store = shell.store

    def show(self, request: Request) -> Response:
        """Answer with the page, or with 404 where the trace is not here."""
        trace = self._asked(request)
        if trace is None:
            return self._shell.missing(request, "No such trace", _GONE)
        spent = time_spent(trace)
        ends = link_ends(self._store, trace)
        far = [end.span.service for found in ends.values() for end in found if end.span]
        slots = {service: self._shell.palette.slot(service) for service in (*trace.services, *far)}
        return self._shell.page(
            "trace.html",
            page="traces",
            trace=trace,
            groups=groups(spent),
            verdict=verdict(spent, ends),
            outside=spent.of(Phase.NETWORK, Phase.OTHER) / (spent.duration or 1),
            columns=columns(trace, spent, ends, slots),
            logs=self._store.log_count(trace.trace_id),
        )

    def count(self, request: Request) -> Response:
        """Answer with the number of spans as JSON, for a page that may have become old."""
        trace = self._asked(request)
        return JSONResponse({"spans": len(trace.spans) if trace else 0})

    def span(self, request: Request) -> Response:
        """Answer with the details of one span as JSON."""
        trace = self._asked(request)
        span = trace and trace.by_id.get(_hexadecimal(request.path_params["span"]))
        if not trace or not span:
            return JSONResponse({"message": "This span is not here."}, 404)
        logs = [log for log in self._store.logs(trace.trace_id) if log.span_id == span.span_id]
        return JSONResponse(details(trace, span, link_ends(self._store, trace).get(span.span_id, []), logs))

    def logs(self, request: Request) -> Response:
        """Answer with the first log records of the trace as JSON."""
        trace = self._asked(request)
        found = self._store.logs(trace.trace_id, limit=_LOGS) if trace else []
        return JSONResponse({"logs": log_lines(found, trace.start_time) if trace else []})

    def _asked(self, request: Request) -> Trace | None:
        wanted = _hexadecimal(request.path_params["trace"])
        return self._store.trace(wanted) if wanted else None


_LOGS: Final = 2000
_GONE = "It was never received, or it is old and was removed to keep the store within its bound."


def _hexadecimal(text: str) -> int:
    try:
        return int(text, 16) if len(text) <= 32 else 0
    except ValueError:
        return 0


def groups(spent: TimeSpent) -> tuple[Group, ...]:
    """Put the shares side by side, each model's together."""
    found: list[Group] = []
    left = 0.0
    for share in spent.shares:
        segment = Segment(share, left, share.fraction * 100, f"{share.phase.value}:{share.model or ''}")
        left += segment.width
        if found and share.model is not None and found[-1].model == share.model:
            found[-1] = _joined(found[-1], segment)
        else:
            found.append(Group(share.model, share.service, segment.left, segment.width, (segment,)))
    return tuple(found)


def _joined(group: Group, segment: Segment) -> Group:
    segments = (*group.segments, segment)
    return Group(group.model, group.service, group.left, group.width + segment.width, segments)


def verdict(spent: TimeSpent, ends: Ends) -> Verdict | None:
    """Say which model took most of the time; None where no model took any."""
    shares = spent.slowest
    if not shares:
        return None
    waited = next((share for share in shares if share.phase is Phase.WAITING), None)
    fraction = sum(share.fraction for share in shares)
    model, service = str(shares[0].model), str(shares[0].service)
    return Verdict(model, service, fraction, shares, _batch(waited, ends) if waited else None)


def _batch(waited: Share, ends: Ends) -> str | None:
    addresses = [end.address for key in waited.spans for end in ends.get(key, ()) if end.outgoing and end.span]
    return addresses[0] if addresses else None
