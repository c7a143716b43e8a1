// The rows that are in sight, and only these: a tree for a screen reader, a waterfall for the eye.
import { h, onFrame, svg } from "./dom.js";

export const ROW = 26;
const SPARE = 8;
const INDENT = 14; // pixels a level, fewer where a deep tree would leave no room for names
const NAME = 190;

export class Rows {
  constructor({ spans, tree, bars, scroller, inner, address, links }) {
    Object.assign(this, { spans, tree, bars, scroller, inner, address, links });
    this.drawn = new Map();
    this.active = 0;
    this.selected = -1;
    this.view = { start: 0, end: 1 };
    this.width = 0;
    this.scrolled = () => {};
    const refresh = onFrame(() => this.fill());
    scroller.addEventListener(
      "scroll",
      () => {
        refresh();
        this.scrolled();
      },
      { passive: true },
    );
  }

  // Draws everything anew, after the view, the tree or the width has changed.
  draw() {
    this.drawn.clear();
    this.inner.replaceChildren();
    this.inner.style.height = `${this.tree.rows.length * ROW}px`;
    const names = this.#names();
    this.width = this.scroller.clientWidth - names;
    this.indent = Math.min(INDENT, Math.max(names - NAME, 20) / this.spans.deepest);
    this.fill();
  }

  #names = () => parseFloat(getComputedStyle(document.body).getPropertyValue("--names"));

  fill() {
    const { rows } = this.tree;
    const first = Math.max(Math.floor(this.scroller.scrollTop / ROW) - SPARE, 0);
    const last = Math.min(first + Math.ceil(this.scroller.clientHeight / ROW) + 2 * SPARE, rows.length);
    for (const [place, element] of this.drawn) {
      if (place < first || place >= last) {
        element.remove();
        this.drawn.delete(place);
      }
    }
    for (let place = first; place < last; place++) {
      if (this.drawn.has(place)) continue;
      const element = this.#row(rows[place], place);
      this.drawn.set(place, element);
      this.inner.append(element);
    }
    this.#point();
  }

  #row(row, place) {
    const { spans } = this;
    const element = h("div", { className: `row s${spans.slot(row)}`, role: "treeitem", id: `row-${row}` });
    const attributes = {
      "aria-level": spans.depths[row] + 1,
      "aria-posinset": spans.places[row],
      "aria-setsize": spans.siblings[row],
      "aria-selected": row === this.selected,
      "aria-label": this.#words(row),
    };
    if (spans.inside(row)) attributes["aria-expanded"] = !this.tree.folded.has(row);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.classList.toggle("model", Boolean(spans.calls[row]));
    element.classList.toggle("aside", Boolean(this.tree.found) && !this.tree.found.has(row));
    element.style.transform = `translateY(${place * ROW}px)`;
    element.dataset.row = row;
    element.append(this.#name(row), svg("svg", { class: "bars" }, ...this.bars.draw(row, this.view, this.width)));
    return element;
  }

  #words(row) {
    const failed = this.spans.failed.has(row) ? ", error" : "";
    return `${this.spans.name(row)}, ${this.spans.service(row)}${failed}`;
  }

  #name(row) {
    const { spans } = this;
    const inside = spans.inside(row);
    const folded = this.tree.folded.has(row);
    const cell = h(
      "div",
      { className: "name" },
      h("button", {
        className: folded ? "fold folded" : "fold",
        tabIndex: -1,
        ariaHidden: true,
        textContent: inside ? (folded ? `▸ ${inside}` : "▾") : "",
      }),
      h("i", { className: "dot" }),
      h(
        "a",
        {
          className: "what",
          href: this.address.with("span", spans.ids[row]),
          tabIndex: -1,
          draggable: false,
          title: `${spans.service(row)}: ${spans.name(row)}`,
        },
        spans.enters(row) && h("span", { className: "service", textContent: spans.service(row) }),
        h("b", { textContent: spans.name(row) }),
      ),
      spans.failed.has(row) && h("span", { className: "bad", title: "error", textContent: "!" }),
      this.links.mark(row),
    );
    cell.style.paddingLeft = `${4 + spans.depths[row] * this.indent}px`;
    return cell;
  }

  // Makes `row` the one that keys move from, and scrolls it into sight.
  activate(row, { center = false } = {}) {
    this.active = row;
    const place = this.tree.place.get(row) ?? 0;
    const { scrollTop, clientHeight } = this.scroller;
    const top = place * ROW;
    if (center && (top < scrollTop || top > scrollTop + clientHeight - ROW))
      this.scroller.scrollTop = top - clientHeight / 3;
    else if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight) this.scroller.scrollTop = top + ROW - clientHeight;
    this.fill();
  }

  select(row) {
    this.selected = row;
    for (const element of this.drawn.values()) {
      element.setAttribute("aria-selected", Number(element.dataset.row) === row);
    }
  }

  #point() {
    for (const element of this.drawn.values())
      element.classList.toggle("active", Number(element.dataset.row) === this.active);
    this.inner.setAttribute("aria-activedescendant", `row-${this.active}`);
  }

  step(by) {
    const place = (this.tree.place.get(this.active) ?? -1) + by;
    const row = this.tree.rows[Math.min(Math.max(place, 0), this.tree.rows.length - 1)];
    if (row !== undefined) this.activate(row);
  }
}
