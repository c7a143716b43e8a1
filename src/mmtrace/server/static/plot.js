// A scatter plot: time across, duration up on a log scale; a click opens a trace, a drag chooses a range of time.
import { onDrag, svg } from "./dom.js";
import { duration, moment, steps } from "./formats.js";

const LEFT = 64;
const RIGHT = 14;
const TOP = 12;
const BOTTOM = 24;

export class Plot {
  constructor(area, tip) {
    this.area = area;
    this.tip = tip;
    area.addEventListener("pointerover", (event) => this.#name(event.target.closest("a")));
    area.addEventListener("focusin", (event) => this.#name(event.target.closest("a")));
    area.addEventListener("pointerout", () => (tip.hidden = true));
    area.addEventListener("focusout", () => (tip.hidden = true));
    area.addEventListener("dragstart", (event) => event.preventDefault());
    onDrag(area, {
      start: () => {
        this.dragged = false;
      },
      move: (event, down) => this.#mark(down, event),
      end: (event, down, moved) => moved && this.#choose(down, event),
    });
    area.addEventListener("click", (event) => this.dragged && event.preventDefault(), true);
  }

  // Draws `rows`, elements that carry data-start, data-seconds, data-trace, data-slot and perhaps data-errors.
  draw(rows) {
    const { width, height } = this.area.getBoundingClientRect();
    if (!width || !rows.length) return this.area.replaceChildren();
    const points = rows.map((row) => ({
      row,
      time: Date.parse(row.dataset.start),
      seconds: Math.max(row.dataset.seconds, 1e-6),
    }));
    const times = points.map((point) => point.time);
    const lengths = points.map((point) => Math.log10(point.seconds));
    const [first, last] = [Math.min(...times), Math.max(...times)];
    const spare = Math.max((last - first) * 0.02, 50);
    this.low = first - spare;
    this.high = last + spare;
    this.width = width;
    const [bottom, top] = [Math.min(...lengths) - 0.1, Math.max(...lengths) + 0.1];
    const x = (time) => LEFT + ((time - this.low) / (this.high - this.low)) * (width - LEFT - RIGHT);
    const y = (log) => height - BOTTOM - ((log - bottom) / (top - bottom)) * (height - TOP - BOTTOM);
    this.area.replaceChildren(
      ...this.#across(x, height),
      ...this.#up(y, bottom, top, width),
      ...points.map(({ row, time, seconds }) => this.#point(row, x(time), y(Math.log10(seconds)))),
    );
  }

  #point(row, x, y) {
    const { trace, slot, errors } = row.dataset;
    const shape = errors
      ? svg("path", { class: "point failed", d: `M${x - 5} ${y}L${x} ${y - 5}L${x + 5} ${y}L${x} ${y + 5}Z` })
      : svg("circle", { class: `point s${slot}`, cx: x, cy: y, r: row.classList.contains("batch") ? 2.5 : 4 });
    const link = svg(
      "a",
      { href: `/trace/${trace}`, "aria-label": row.querySelector(".root").textContent.trim(), tabindex: -1 },
      shape,
    );
    link.row = row;
    link.at = [x, y];
    return link;
  }

  #across(x, height) {
    const now = new Date();
    return steps(this.low, this.high, this.width / 150).flatMap((time) => [
      svg("line", { class: "grid", x1: x(time), x2: x(time), y1: TOP, y2: height - BOTTOM }),
      svg(
        "text",
        { x: x(time), y: height - 8, "text-anchor": "middle" },
        moment(new Date(time), now).replace(/\.000$/, ""),
      ),
    ]);
  }

  #up(y, bottom, top, width) {
    const marks = [];
    for (let power = Math.floor(bottom); power <= top; power++) {
      for (const factor of top - bottom > 2.2 ? [1] : [1, 2, 5]) marks.push(factor * 10 ** power);
    }
    return marks
      .filter((seconds) => Math.log10(seconds) >= bottom && Math.log10(seconds) <= top)
      .flatMap((seconds) => [
        svg("line", {
          class: "grid",
          x1: LEFT,
          x2: width - RIGHT,
          y1: y(Math.log10(seconds)),
          y2: y(Math.log10(seconds)),
        }),
        svg(
          "text",
          { x: LEFT - 8, y: y(Math.log10(seconds)) + 4, "text-anchor": "end" },
          duration(seconds).replace(/\.0+ /, " "),
        ),
      ]);
  }

  #name(link) {
    if (!link?.row) return;
    const {
      row,
      at: [x, y],
    } = link;
    const small = document.createElement("small");
    small.textContent = `${row.querySelector(".duration").textContent} · ${row.querySelector("time").textContent}`;
    this.tip.replaceChildren(row.querySelector(".root").textContent.trim(), small);
    this.tip.hidden = false;
    const right = x > this.width - 300;
    this.tip.style.left = right ? "auto" : `${x + 12}px`;
    this.tip.style.right = right ? `${this.width - x + 12}px` : "auto";
    this.tip.style.top = `${Math.max(y - 20, 0)}px`;
  }

  #time(event) {
    const { left } = this.area.getBoundingClientRect();
    const part = (event.clientX - left - LEFT) / (this.width - LEFT - RIGHT);
    return this.low + Math.min(Math.max(part, 0), 1) * (this.high - this.low);
  }

  #mark(down, event) {
    this.dragged = true;
    const { left, height } = this.area.getBoundingClientRect();
    const [from, to] = [down.clientX - left, event.clientX - left].sort((one, other) => one - other);
    this.area.querySelector(".range")?.remove();
    this.area.append(svg("rect", { class: "range", x: from, width: to - from, y: TOP, height: height - TOP - BOTTOM }));
  }

  #choose(down, event) {
    const [from, to] = [this.#time(down), this.#time(event)].sort((one, other) => one - other);
    const address = new URL(location);
    address.searchParams.delete("range");
    address.searchParams.set("from", new Date(from).toISOString());
    address.searchParams.set("to", new Date(to).toISOString());
    location.assign(address);
  }
}
