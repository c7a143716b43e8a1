"""The links of a trace, both ways, each with what is known of its other end."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from mmtrace.server.pages.formats import span_id, trace_id
from mmtrace.server.store import LinkEnd, Store
from mmtrace.spans import SpanData, Trace


@dataclass(frozen=True, slots=True)
class End:
    """The other end of a link: `outgoing` where the link points at it; `span` is None where it is not known here."""

    trace_id: int
    span_id: int
    outgoing: bool
    span: LinkEnd | None

    @property
    def address(self) -> str:
        """The address that shows it."""
        return f"/trace/{trace_id(self.trace_id)}?span={span_id(self.span_id)}"

    def to_json(self) -> dict[str, Any]:
        """Return it for a script."""
        known = self.span
        return {
            "to": self.address,
            "trace": trace_id(self.trace_id),
            "span": span_id(self.span_id),
            "out": self.outgoing,
            "name": known and known.name,
            "service": known and known.service,
            "seconds": known and known.duration,
        }


Ends: TypeAlias = Mapping[int, list[End]]
"""The other ends of the links of each span, by the id of the span."""


def link_ends(store: Store, trace: Trace) -> Ends:
    """Return the other ends of all links that leave or enter spans of `trace`."""
    links = [(span, (link.trace_id, link.span_id)) for span in trace.spans for link in span.links]
    known = store.link_ends({target for _, target in links})
    found: defaultdict[int, list[End]] = defaultdict(list)
    for span, target in links:
        found[span.span_id].append(End(*target, outgoing=True, span=known.get(target)))
        if target[0] == trace.trace_id:
            found[target[1]].append(_end_at(span))
    for link in store.linked_from(trace.trace_id):
        source = link.source
        found[link.target_span_id].append(End(source.trace_id, source.span_id, outgoing=False, span=source))
    return found


def _end_at(span: SpanData) -> End:
    known = LinkEnd(span.trace_id, span.span_id, span.name, span.service, span.start_time, span.duration)
    return End(span.trace_id, span.span_id, outgoing=False, span=known)
