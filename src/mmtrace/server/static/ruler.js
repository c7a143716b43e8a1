// The ruler over the bars, and what a drag or a double click on them does to the view.
import { onDrag, svg } from "./dom.js";
import { duration, steps } from "./formats.js";

const LEAST = 100; // nanoseconds that a view shows at least

export class Ruler {
  constructor({ area, grid, chart, selection, rows, changed }) {
    Object.assign(this, { area, grid, chart, selection, rows, changed });
    onDrag(chart, {
      start: (event) => {
        this.dragged = false;
        return this.#time(event) !== null;
      },
      move: (event, down) => {
        this.dragged = true;
        this.#mark(down, event);
      },
      end: (event, down, moved) => {
        selection.hidden = true;
        if (moved) this.#zoom(this.#bounded(down), this.#bounded(event));
      },
    });
    rows.scroller.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  draw() {
    const { view, width } = this.rows;
    const scale = width / (view.end - view.start);
    const times = steps(view.start, view.end, width / 110);
    this.grid.style.left = `${this.#left() - this.chart.getBoundingClientRect().left}px`;
    this.grid.style.width = `${width}px`;
    this.grid.replaceChildren(
      ...times.map((time) =>
        svg("line", { x1: (time - view.start) * scale, x2: (time - view.start) * scale, y1: 0, y2: "100%" }),
      ),
    );
    this.area.replaceChildren(
      ...times.flatMap((time) => {
        const x = (time - view.start) * scale;
        const words =
          time === 0
            ? "0"
            : duration(time / 1e9)
                .replace(/(\.\d*?)0+ /, "$1 ")
                .replace(/\. /, " ");
        const anchor = x < 20 ? "start" : x > width - 34 ? "end" : "middle";
        return [
          svg("line", { x1: x, x2: x, y1: 21, y2: 28 }),
          svg("text", { x: Math.max(x, 2), y: 17, "text-anchor": anchor }, words),
        ];
      }),
    );
  }

  // The moment under the pointer, null where it is not over the bars.
  #time(event) {
    const x = event.clientX - this.#left();
    return x < 0 || x > this.rows.width || event.target.closest(".name, .corner, .chain") ? null : this.#at(x);
  }

  #left = () => this.area.getBoundingClientRect().left;
  #at = (x) => this.rows.view.start + (x / this.rows.width) * (this.rows.view.end - this.rows.view.start);
  #bounded = (event) => this.#at(Math.min(Math.max(event.clientX - this.#left(), 0), this.rows.width));

  #mark(down, event) {
    const left = this.chart.getBoundingClientRect().left;
    const origin = this.#left();
    const [from, to] = [down.clientX, event.clientX]
      .map((x) => Math.min(Math.max(x, origin), origin + this.rows.width))
      .sort((a, b) => a - b);
    this.selection.hidden = false;
    this.selection.style.left = `${from - left}px`;
    this.selection.style.width = `${to - from}px`;
    this.selection.dataset.length = duration(Math.abs(this.#bounded(event) - this.#bounded(down)) / 1e9);
  }

  #zoom(one, other) {
    const [start, end] = [Math.min(one, other), Math.max(one, other)];
    if (end - start >= LEAST) this.changed({ start, end });
  }

  #wheel(event) {
    const middle = this.#time(event);
    if (!event.ctrlKey || middle === null) return;
    event.preventDefault();
    const factor = Math.exp(Math.max(Math.min(event.deltaY, 60), -60) / 120);
    const { start, end } = this.rows.view;
    this.#zoom(middle - (middle - start) * factor, middle + (end - middle) * factor);
  }
}
