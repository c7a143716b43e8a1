"""Batches: one execution that serves many requests, and the share of each request in it.

The batch is a root span linked to every request. When it ends, each request's own trace gets a span from its arrival
to the end of the batch, with its time in the queue, so that no waterfall has a hole.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags

from mmtrace import attributes as names
from mmtrace.calls import telemetry
from mmtrace.calls.call import ModelCall
from mmtrace.calls.context import current_context, with_values
from mmtrace.calls.model import Model
from mmtrace.calls.outcome import Outcome, outcome_of
from mmtrace.recording import guard
from mmtrace.recording.carriers import Carrier, arrival_of, extract, inject
from mmtrace.recording.roots import ROOT_SAMPLED
from mmtrace.spans import clock

_EMPTY: Final = Context()


@dataclass(frozen=True, slots=True)
class Ticket:
    """The context and the time of arrival of one request, to be given to the batch that will serve it.

    `arrival` is in nanoseconds since the epoch; `waiting_since` is the same moment on the monotonic clock of process
    `pid`, and is used where the batch runs in that process. A ticket pickles, into a worker process for example.
    """

    context: Context
    arrival: int
    waiting_since: int | None = None
    pid: int | None = None

    @classmethod
    def now(cls, context: Context | None = None) -> "Ticket":
        """Return a ticket for a request that arrives now, in `context` or the current one."""
        return cls(current_context() if context is None else context, clock.wall(), clock.monotonic(), os.getpid())

    @classmethod
    def of(cls, carrier: "Ticket | Carrier") -> "Ticket":
        """Return the ticket that `carrier` carries; without a time of arrival it arrives now."""
        if isinstance(carrier, Ticket):
            return carrier
        return cls(extract(carrier), arrival_of(carrier) or clock.wall())

    @property
    def span_context(self) -> SpanContext:
        """The span that the request was in when it arrived."""
        return trace.get_current_span(self.context).get_span_context()

    def waited(self, at: int, monotonic: int) -> int:
        """Return the nanoseconds from arrival to the moment `at` or `monotonic`; negative where clocks disagree."""
        if self.waiting_since is not None and self.pid == os.getpid():
            return monotonic - self.waiting_since
        return at - self.arrival

    def __reduce__(self) -> Any:
        carrier: dict[str, str] = {}
        inject(carrier, self.context, arrival_ns=self.arrival)
        return _ticket_from, (carrier, self.waiting_since, self.pid)


Tickets: TypeAlias = "Iterable[Ticket | Carrier]"


def _ticket_from(carrier: Mapping[str, str], waiting_since: int | None, pid: int | None) -> Ticket:
    return Ticket(extract(carrier), arrival_of(carrier) or clock.wall(), waiting_since, pid)


class Batch(ModelCall):
    """One executed batch; runtime calls inside are child spans of it without call metrics."""

    __slots__ = ("_failed", "_given", "tickets")

    def __init__(self, model: Model, given: Sequence["Ticket | Carrier"], attributes: Mapping[str, Any]) -> None:
        tickets = tuple(Ticket.of(ticket) for ticket in given)
        root = _root_for(tickets)
        start, began = clock.wall(), clock.monotonic()
        span = telemetry.current.tracer.start_span(
            f"batch {model.name}",
            root,
            SpanKind.INTERNAL,
            {**model.attributes, **attributes, names.BATCH_SIZE: len(tickets)},
            [Link(ticket.span_context) for ticket in tickets if ticket.span_context.is_valid],
            start,
        )
        super().__init__(model, span, root, start, began, counted=False)
        self._given = given
        self._failed: dict[int, BaseException] = {}
        self.tickets = tickets

    @classmethod
    def serving(cls, model: Model, tickets: Tickets, *, attributes: Mapping[str, Any] | None = None) -> "Batch":
        """Start the batch of `model` that serves `tickets`: a root span, sampled if any of them is."""
        batch = cls(model, tuple(tickets), attributes or {})
        for _ in batch.tickets:
            model.series.begin()
        return batch

    def same_runtime(self, model: Model) -> bool:
        """No call is hidden inside a batch: what it runs are its child spans."""
        return False

    def fail(self, ticket: "Ticket | Carrier", error: BaseException) -> None:
        """Note that the request of `ticket` ended in `error`, whatever becomes of the others."""
        for index, given in enumerate(self._given):
            if given is ticket:
                self._failed[index] = error

    def _finish(self, elapsed: int, outcome: Outcome, error: BaseException | None, error_type: str | None) -> None:
        super()._finish(elapsed, outcome, error, error_type)
        self.model.series.batch(len(self.tickets))
        for index, ticket in enumerate(self.tickets):
            own = self._failed.get(index)
            if own is None:
                self._finish_request(ticket, elapsed, outcome, error, error_type)
            else:
                self._finish_request(ticket, elapsed, outcome_of(own), own, None)

    @guard.never_raises
    def _finish_request(
        self, ticket: Ticket, elapsed: int, outcome: Outcome, error: BaseException | None, error_type: str | None
    ) -> None:
        waited = ticket.waited(self.start_time, self._began)
        queue = max(0, waited)
        attributes = {names.QUEUE_DURATION: queue / 1e9, names.BATCH_SIZE: len(self.tickets)}
        if waited < 0:
            attributes[names.QUEUE_SKEWED] = True
        arrival = self.start_time - queue
        span = telemetry.current.tracer.start_span(
            self.model.span_name,
            ticket.context,
            SpanKind.INTERNAL,
            {**self.model.attributes, **attributes},
            [Link(self.span.get_span_context())],
            arrival,
        )
        span.add_event(names.COMPUTE_START, timestamp=self.start_time)
        share = ModelCall(self.model, span, ticket.context, arrival, self._began - queue, counted=True)
        share._measured["queue_duration"] = queue / 1e9
        share._end_after(queue + elapsed, outcome, error, error_type)


def _root_for(tickets: Sequence[Ticket]) -> Context:
    requests = [ticket.span_context for ticket in tickets if ticket.span_context.is_valid]
    sampled = any(request.trace_flags & TraceFlags.SAMPLED for request in requests)
    return with_values(_EMPTY, {ROOT_SAMPLED: sampled}) if requests else _EMPTY
