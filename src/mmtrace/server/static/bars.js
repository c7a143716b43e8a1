// The bar of one row: waits hatched, compute solid, a stream paler with a tick at its first output; what a span did
// itself is darker than the time of its children.
import { svg } from "./dom.js";
import { duration } from "./formats.js";

const HEIGHT = 26;
const MODEL = { y: 4, height: 18 };
const PLAIN = { y: 8, height: 10 };
const LETTER = 6.3;

export class Bars {
  constructor(spans) {
    this.spans = spans;
  }

  // Returns the parts of the bar of `row` in a view {start, end} that is `width` pixels wide.
  draw(row, view, width) {
    const { spans } = this;
    const [start, end] = [spans.starts[row], spans.ends[row]];
    const scale = width / (view.end - view.start);
    const x = (time) => (Math.min(Math.max(time, view.start), view.end) - view.start) * scale;
    if (end < view.start || start > view.end) return [this.#elsewhere(end < view.start, width)];
    const call = spans.call(row);
    const band = call ? MODEL : PLAIN;
    const paint = { x, band, row, start, end };
    return [
      ...(call ? this.#call(paint, call) : this.#plain(paint)),
      ...this.#events(paint, view),
      ...this.#label(paint, call, width),
    ];
  }

  #elsewhere(before, width) {
    const tip = before ? 3 : width - 3;
    const back = before ? 9 : width - 9;
    return svg("path", { class: "edge", d: `M${tip} 13L${back} 9V17Z` });
  }

  #rect(kind, { x, band }, from, to, more = {}) {
    const [left, right] = [x(from), x(to)];
    return svg("rect", {
      class: kind,
      x: left,
      width: Math.max(right - left, 1.5),
      y: band.y,
      height: band.height,
      rx: 1.5,
      ...more,
    });
  }

  #plain(paint) {
    const { start, end, row } = paint;
    const inner = this.spans.children[row];
    if (!inner) return this.#framed(paint, [this.#rect("self", paint, start, end)]);
    const own = this.#path("self", paint, this.#between(inner, start, end));
    return this.#framed(paint, [this.#rect("whole", paint, start, end), own]);
  }

  #call(paint, { compute, first, held }) {
    const { start, end, row } = paint;
    const slot = this.spans.slot(row);
    const until = first ?? end;
    const parts = [];
    if (compute > start) parts.push(this.#rect("waiting", paint, start, compute, { fill: `url(#wait-${slot})` }));
    if (until > compute) parts.push(this.#rect("computing", paint, compute, until));
    if (first !== null && end > first) parts.push(this.#rect("streaming", paint, first, end));
    const inner = this.spans.children[row];
    if (inner) parts.push(this.#path("below", paint, this.#within(inner, compute, until)));
    const framed = this.#framed(paint, parts.length ? parts : [this.#rect("computing", paint, start, end)]);
    if (first !== null) framed.push(this.#tick("first", paint, first, "first output"));
    if (held) framed.push(this.#held(paint, first ?? start, held));
    return framed;
  }

  #framed(paint, parts) {
    const { start, end, row } = paint;
    return [...parts, this.#rect(this.spans.failed.has(row) ? "failed" : "frame", paint, start, end)];
  }

  // The consumer's own time as a thin line; when it was spent is not known, so that it ends where the stream does.
  #held({ x, band, end }, from, held) {
    const y = band.y + band.height - 1.5;
    return svg(
      "line",
      { class: "consumer", x1: x(Math.max(from, end - held)), x2: x(end), y1: y, y2: y },
      svg("title", {}, `the consumer held it for ${duration(held / 1e9)}`),
    );
  }

  #tick(kind, { x, band }, time, words) {
    const at = x(time);
    return svg(
      "line",
      { class: kind, x1: at, x2: at, y1: band.y - 2, y2: band.y + band.height + 2 },
      svg("title", {}, words),
    );
  }

  #events(paint, view) {
    const { x, band, row, start } = paint;
    const marks = [];
    let last = -9;
    for (const [time, word, mark] of this.spans.events[row] ?? []) {
      if (mark === "first" || time < view.start || time > view.end || (x(time) - last < 2 && mark !== "error"))
        continue;
      last = x(time);
      const words = `${this.spans.words[word]} at ${duration(Math.max(time - start, 0) / 1e9)}`;
      marks.push(mark === "stall" ? this.#stall(last, band, words) : this.#event(last, band, mark, words));
    }
    return marks;
  }

  #event(at, band, mark, words) {
    const low = band.y + band.height;
    return svg(
      "line",
      {
        class: mark === "error" ? "event error-event" : "event",
        x1: at,
        x2: at,
        y1: low - 4,
        y2: low + 3,
      },
      svg("title", {}, words),
    );
  }

  #stall(at, band, words) {
    return svg(
      "path",
      { class: "stall", d: `M${at - 3.5} ${band.y - 2}H${at + 3.5}L${at} ${band.y + 5}Z` },
      svg("title", {}, words),
    );
  }

  // One path for many intervals, those that fall into the same pixels joined.
  #path(kind, { x, band }, intervals) {
    let d = "";
    let [left, right] = [-1, -1];
    const close = () => {
      if (right > left)
        d += `M${left.toFixed(1)} ${band.y}H${right.toFixed(1)}V${band.y + band.height}H${left.toFixed(1)}Z`;
    };
    for (const [from, to] of intervals) {
      const [a, b] = [x(from), x(to)];
      if (a - right < 0.5 && right >= 0) right = Math.max(b, right);
      else {
        close();
        [left, right] = [a, b];
      }
    }
    close();
    return svg("path", { class: kind, d });
  }

  *#between(inner, start, end) {
    let at = start;
    for (let i = 0; i < inner.length; i += 2) {
      if (inner[i] > at) yield [at, inner[i]];
      at = inner[i + 1];
    }
    if (at < end) yield [at, end];
  }

  *#within(inner, start, end) {
    for (let i = 0; i < inner.length; i += 2) {
      const [from, to] = [Math.max(inner[i], start), Math.min(inner[i + 1], end)];
      if (from < to) yield [from, to];
    }
  }

  #label({ x, start, end, row }, call, width) {
    const words = call ? sentence(call, start, end) : duration(this.spans.seconds(row));
    const [left, right] = [x(start), x(end)];
    const space = words.length * LETTER + 8;
    if (right + space < width) return [svg("text", { x: right + 6, y: HEIGHT / 2 + 4 }, words)];
    if (left - space > 0) return [svg("text", { x: left - 6, y: HEIGHT / 2 + 4, "text-anchor": "end" }, words)];
    return [svg("text", { x: Math.min(right, width) - 6, y: HEIGHT / 2 + 4, "text-anchor": "end" }, words)];
  }
}

// What a model call did with its time, in words.
function sentence({ compute, first }, start, end) {
  const parts = [];
  if (compute > start) parts.push(`waited ${duration((compute - start) / 1e9)}`);
  if (first !== null) {
    parts.push(`first output after ${duration((first - start) / 1e9)}`);
    parts.push(`streamed ${duration((end - first) / 1e9)}`);
  } else if (parts.length) parts.push(`computed ${duration((end - compute) / 1e9)}`);
  return parts.length ? parts.join(" · ") : duration((end - start) / 1e9);
}
