// The whole trace on a few pixels, with the part that is in sight: a click goes there, a drag chooses what to see.
import { onDrag, onFrame } from "./dom.js";
import { ROW } from "./rows.js";

export class Minimap {
  constructor({ canvas, spans, tree, rows, changed }) {
    Object.assign(this, { canvas, spans, tree, rows, changed });
    this.picture = document.createElement("canvas");
    this.sight = onFrame(() => this.#show());
    onDrag(canvas, {
      start: () => true,
      move: (event, down) => {
        this.drag = [this.#x(down), this.#x(event)];
        this.sight();
      },
      end: (event, down, moved) => {
        this.drag = null;
        if (moved) this.#choose(this.#x(down), this.#x(event));
        else rows.scroller.scrollTop = this.#part(event) * tree.rows.length * ROW - rows.scroller.clientHeight / 2;
        this.sight();
      },
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  draw() {
    const { canvas, picture, tree, rows } = this;
    canvas.hidden = tree.rows.length * ROW <= rows.scroller.clientHeight;
    if (canvas.hidden) return;
    const ratio = devicePixelRatio;
    const { width, height } = canvas.getBoundingClientRect();
    this.width = width;
    this.height = height;
    for (const one of [canvas, picture]) [one.width, one.height] = [width * ratio, height * ratio];
    this.#paint(picture.getContext("2d"), ratio);
    this.#show();
  }

  #paint(context, ratio) {
    const { spans, tree, width, height } = this;
    context.scale(ratio, ratio);
    const colour = this.#colours();
    const tall = Math.max(height / tree.rows.length, 1);
    const scale = width / Math.max(spans.length, 1);
    tree.rows.forEach((row, place) => {
      const failed = spans.failed.has(row);
      context.globalAlpha = failed || spans.calls[row] ? 1 : 0.6;
      context.fillStyle = failed ? colour.red : colour[spans.slot(row)];
      const x = spans.starts[row] * scale;
      context.fillRect(
        x,
        (place / tree.rows.length) * height,
        Math.max((spans.ends[row] - spans.starts[row]) * scale, 1),
        tall,
      );
    });
  }

  #colours() {
    const style = getComputedStyle(this.canvas);
    const found = {
      red: style.getPropertyValue("--red"),
      ink: style.getPropertyValue("--ink"),
      page: style.getPropertyValue("--page"),
    };
    const probe = document.body.appendChild(document.createElement("i"));
    for (const [, slot] of this.spans.palette) {
      probe.className = `s${slot}`;
      found[slot] = getComputedStyle(probe).getPropertyValue("--c");
    }
    probe.remove();
    return found;
  }

  // The picture, with what is out of sight dimmed.
  #show() {
    if (this.canvas.hidden) return;
    const { canvas, spans, tree, rows, width, height } = this;
    const context = canvas.getContext("2d");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, width, height);
    context.drawImage(this.picture, 0, 0, width, height);
    const { ink, page } = this.#colours();
    const all = Math.max(tree.rows.length * ROW, 1);
    const [left, right] = this.drag
      ? [...this.drag].sort((a, b) => a - b)
      : [rows.view.start, rows.view.end].map((time) => (time / spans.length) * width);
    const top = (rows.scroller.scrollTop / all) * height;
    const tall = Math.max((rows.scroller.clientHeight / all) * height, 3);
    context.fillStyle = page;
    context.globalAlpha = 0.5;
    context.beginPath();
    context.rect(0, 0, width, height);
    context.rect(left, top, right - left, tall);
    context.fill("evenodd");
    context.globalAlpha = 0.8;
    context.strokeStyle = ink;
    context.strokeRect(left + 0.5, top + 0.5, Math.max(right - left - 1, 2), Math.max(tall - 1, 2));
  }

  #x = (event) => Math.min(Math.max(event.clientX - this.canvas.getBoundingClientRect().left, 0), this.width);
  #part = (event) => (event.clientY - this.canvas.getBoundingClientRect().top) / this.height;

  #choose(one, other) {
    const [start, end] = [one, other].sort((a, b) => a - b).map((x) => (x / this.width) * this.spans.length);
    if (end > start) this.changed({ start, end });
  }
}
