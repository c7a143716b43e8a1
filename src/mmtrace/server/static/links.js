// The links of a span: a mark on its row, a list of the other ends beside the pointer.
import { h, svg } from "./dom.js";
import { duration } from "./formats.js";

const MOST = 200;
const CHAIN = "M6.5 9.5l3-3M7.5 4.5l1.6-1.6a2.8 2.8 0 0 1 4 4L11.5 8.5M8.5 11.5l-1.6 1.6a2.8 2.8 0 0 1-4-4L4.5 7.5";

export class Links {
  constructor(spans, popover, open) {
    Object.assign(this, { spans, popover, open });
    popover.addEventListener("pointerleave", () => this.#hideSoon());
    popover.addEventListener("pointerenter", () => clearTimeout(this.leaving));
    document.addEventListener("pointerdown", (event) => {
      if (!popover.contains(event.target) && !event.target.closest?.(".chain")) this.hide();
    });
  }

  // The ends to show for a row. Where a batch is linked both ways with a request, the request's share says more.
  ends(row) {
    const all = this.spans.links[row] ?? [];
    const back = new Set(all.filter((end) => !end.out).map((end) => end.trace));
    return all.filter((end) => !end.out || end.trace === this.spans.trace || !back.has(end.trace));
  }

  mark(row) {
    const ends = this.ends(row);
    if (!ends.length) return null;
    const chain = svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: CHAIN }));
    const words = ends.length === 1 ? "1 link" : `${ends.length} links`;
    const shared = {
      className: "chain",
      tabIndex: -1,
      ariaLabel: words,
      onpointerenter: (event) => this.#showSoon(row, event.currentTarget),
      onpointerleave: () => this.#hideSoon(),
    };
    if (ends.length > 1)
      return h(
        "button",
        { ...shared, onclick: (event) => this.#show(row, event.currentTarget) },
        chain,
        String(ends.length),
      );
    return h("a", { ...shared, href: ends[0].to, onclick: (event) => this.#follow(event, ends[0]) }, chain);
  }

  // One line for each end, as links.
  list(ends) {
    const lines = ends
      .slice(0, MOST)
      .map((end) =>
        h(
          "a",
          { href: end.to, onclick: (event) => this.#follow(event, end) },
          h("i", { className: `dot s${this.#slot(end.service)}` }),
          h("b", { textContent: end.name ?? "a span that is not here" }),
          h("span", { className: "number", textContent: end.seconds === null ? "" : duration(end.seconds) }),
          h("small", { textContent: this.#where(end) }),
        ),
      );
    if (ends.length > MOST) lines.push(h("p", { textContent: `and ${ends.length - MOST} more` }));
    return lines;
  }

  #where(end) {
    const trace = end.trace === this.spans.trace ? "this trace" : `trace ${end.trace.slice(0, 8)}`;
    return [end.out ? "links to" : "linked from", end.service, trace].filter(Boolean).join(" · ");
  }

  #slot(service) {
    return this.spans.slots[service] ?? "-";
  }

  #follow(event, end) {
    if (end.trace !== this.spans.trace || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    this.hide();
    this.open(this.spans.row.get(end.span));
  }

  #showSoon(row, mark) {
    clearTimeout(this.leaving);
    this.coming = setTimeout(() => this.#show(row, mark), 120);
  }

  #show(row, mark) {
    clearTimeout(this.coming);
    const { left, bottom, top } = mark.getBoundingClientRect();
    this.popover.replaceChildren(...this.list(this.ends(row)));
    this.popover.hidden = false;
    const { width, height } = this.popover.getBoundingClientRect();
    this.popover.style.left = `${Math.min(left, innerWidth - width - 12)}px`;
    this.popover.style.top = `${bottom + height + 8 < innerHeight ? bottom + 2 : Math.max(top - height - 2, 8)}px`;
  }

  #hideSoon() {
    clearTimeout(this.coming);
    this.leaving = setTimeout(() => this.hide(), 250);
  }

  hide() {
    const open = !this.popover.hidden;
    this.popover.hidden = true;
    return open;
  }
}
