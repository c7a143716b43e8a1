"""Which model or service calls which, over many traces."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from opentelemetry.trace import SpanKind

from mmtrace.analysis.calls import Calls, is_batch, is_share, outcome
from mmtrace.analysis.percentiles import percentile
from mmtrace.analysis.self_time import self_time
from mmtrace.analysis.where import Share, time_spent
from mmtrace.spans import SpanData, Trace


@dataclass(frozen=True, slots=True)
class Node:
    """A service, or a model that runs in it (`model` is None for the service itself)."""

    service: str
    model: str | None = None

    @property
    def name(self) -> str:
        """What it is called."""
        return self.service if self.model is None else self.model


@dataclass(frozen=True, slots=True)
class NodeFigures:
    """How often a node was called and how that ended; `share` is its part of the time of all traces."""

    node: Node
    calls: int
    errors: int
    error_ratio: float
    seconds: float
    share: float


@dataclass(frozen=True, slots=True)
class EdgeFigures:
    """The calls of one node by another; `p95` in seconds, as the caller saw it; `queued` where they went by a queue."""

    source: Node
    target: Node
    calls: int
    errors: int
    rate: float
    p95: float
    queued: bool


@dataclass(frozen=True, slots=True)
class CallGraph:
    """Nodes in order of their first appearance, and the edges between them."""

    nodes: tuple[NodeFigures, ...]
    edges: tuple[EdgeFigures, ...]


_Key: TypeAlias = tuple[int, int]
"""A span: its trace id and its own."""


@dataclass
class _Tally:
    """The calls of a node or of an edge."""

    outcomes: Counter[str] = field(default_factory=Counter)
    durations: list[float] = field(default_factory=list)
    queued: bool = False

    def add(self, span: SpanData, *, queued: bool = False) -> None:
        self.outcomes[outcome(span)] += 1
        self.durations.append(span.duration)
        self.queued = self.queued or queued

    @property
    def error_ratio(self) -> float:
        judged = self.outcomes["error"] + self.outcomes["ok"]
        return self.outcomes["error"] / judged if judged else 0.0


@dataclass(frozen=True, slots=True)
class _Step:
    """One call from `source` to `target`; `seen` is the span that the caller waited for."""

    source: Node
    target: Node
    seen: SpanData
    queued: bool


class _Spans:
    """All spans of many traces, each with the node that it belongs to."""

    def __init__(self, traces: Iterable[Trace]) -> None:
        self.traces = tuple(traces)
        self.at: dict[_Key, SpanData] = {}
        self.node: dict[_Key, Node] = {}
        self.shared: set[_Key] = set()
        for trace in self.traces:
            self._add(trace)

    def _add(self, trace: Trace) -> None:
        enclosing = Calls(trace).enclosing
        for span in trace.spans:
            key = (span.trace_id, span.span_id)
            owner = enclosing.get(span.span_id)
            self.at[key] = span
            self.node[key] = Node(span.service, owner.model if owner else None)
            if is_share(span):
                self.shared.update((link.trace_id, link.span_id) for link in span.links)

    def causes(self, key: _Key, span: SpanData) -> Iterator[tuple[_Key, bool]]:
        """Yield the spans that made `span` happen, and whether by a link."""
        parent = (span.trace_id, span.parent_span_id or 0)
        if parent in self.at:
            yield parent, False
        if not is_share(span) and key not in self.shared:
            yield from ((other, True) for link in span.links if (other := (link.trace_id, link.span_id)) in self.at)

    def steps(self) -> Iterator[_Step]:
        """Yield every call that leads from one node to another."""
        for key, span in self.at.items():
            target = self.node[key]
            for cause, linked in self.causes(key, span):
                source = self.node[cause]
                if source != target:
                    caller = self.at[cause]
                    seen = caller if caller.kind is SpanKind.CLIENT and not linked else span
                    yield _Step(source, target, seen, linked or _queued(caller, span))

    def entries(self) -> Iterator[tuple[Node, SpanData]]:
        """Yield every span that is a call of its node; a batch serves calls that are counted already."""
        for key, span in self.at.items():
            node = self.node[key]
            if self.node.get((span.trace_id, span.parent_span_id or 0)) != node and not is_batch(span):
                yield node, span

    def seconds(self) -> dict[Node, float]:
        """Return how much of the time of the traces each node took; that of a batch is in the requests it served."""
        found: defaultdict[Node, float] = defaultdict(float)
        for trace in self.traces:
            for share in () if is_batch(trace.root) else time_spent(trace).shares:
                weights = self._weights(share, trace)
                whole = sum(weight for _, weight in weights) or 1.0
                for node, weight in weights:
                    found[node] += share.seconds * weight / whole
        return found

    def _weights(self, share: Share, trace: Trace) -> list[tuple[Node, float]]:
        """Say by what parts a share belongs to nodes: a model's to where it ran, other time to who worked itself."""
        if share.model is None:
            own = (span for span in trace.spans if self.node[span.trace_id, span.span_id].model is None)
            return [(Node(span.service), self_time(trace, span).seconds) for span in own]
        spans = (trace.by_id[key] for key in share.spans)
        return [(Node(span.service, share.model), span.duration) for span in spans]


def _queued(caller: SpanData, span: SpanData) -> bool:
    """Whether a call went through a queue: it says so, or it came from another process and not as a request."""
    if span.kind is SpanKind.CONSUMER or span.queue_duration is not None:
        return True
    is_request = caller.kind is SpanKind.CLIENT or span.kind is SpanKind.SERVER
    return caller.resource != span.resource and not is_request


def call_graph(traces: Iterable[Trace], start_ns: int, end_ns: int) -> CallGraph:
    """Draw the graph of all calls between the two moments, through parents and through links.

    A batch is a call of its model by the requests that it served; where these have spans for their share of it, the
    shares stand for the calls and the batch's own links add nothing.
    """
    spans = _Spans(traces)
    nodes: defaultdict[Node, _Tally] = defaultdict(_Tally)
    edges: defaultdict[tuple[Node, Node], _Tally] = defaultdict(_Tally)
    for node, span in spans.entries():
        nodes[node].add(span)
    for step in spans.steps():
        edges[step.source, step.target].add(step.seen, queued=step.queued)
    window = max(end_ns - start_ns, 1) / 1e9
    return CallGraph(
        _node_figures(dict.fromkeys(spans.node.values()), nodes, spans.seconds()),
        tuple(_edge_figures(source, target, tally, window) for (source, target), tally in edges.items()),
    )


def _node_figures(
    order: Iterable[Node], tallies: Mapping[Node, _Tally], seconds: Mapping[Node, float]
) -> tuple[NodeFigures, ...]:
    whole = sum(seconds.values()) or 1.0
    found = []
    for node in order:
        tally = tallies.get(node, _Tally())
        errors, calls = tally.outcomes["error"], len(tally.durations)
        took = seconds.get(node, 0.0)
        found.append(NodeFigures(node, calls, errors, tally.error_ratio, took, took / whole))
    return tuple(found)


def _edge_figures(source: Node, target: Node, tally: _Tally, window: float) -> EdgeFigures:
    calls = len(tally.durations)
    slow = percentile(sorted(tally.durations), 0.95)
    return EdgeFigures(source, target, calls, tally.outcomes["error"], calls / window, slow, tally.queued)
