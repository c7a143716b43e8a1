// The spans of the trace, as columns: row numbers stand for spans, in the order of the tree.
export class Spans {
  constructor(data) {
    Object.assign(this, data);
    this.count = data.ids.length;
    this.deepest = data.depths.reduce((most, depth) => Math.max(most, depth), 1);
    this.failed = new Set(data.errors);
    this.client = new Set(data.clients);
    this.row = new Map(data.ids.map((id, row) => [id, row]));
    this.#shape();
  }

  // For each row: its parent, where its subtree ends, and which of how many siblings it is.
  #shape() {
    const { depths, count } = this;
    this.parents = new Int32Array(count).fill(-1);
    this.after = new Int32Array(count).fill(count);
    this.places = new Int32Array(count);
    this.siblings = new Int32Array(count);
    const open = [];
    const sizes = new Map();
    for (let row = 0; row < count; row++) {
      while (open.length > depths[row]) this.after[open.pop()] = row;
      const parent = open.length ? open.at(-1) : -1;
      this.parents[row] = parent;
      sizes.set(parent, (sizes.get(parent) ?? 0) + 1);
      this.places[row] = sizes.get(parent);
      open.push(row);
    }
    for (let row = 0; row < count; row++) this.siblings[row] = sizes.get(this.parents[row]);
  }

  name = (row) => this.words[this.names[row]];
  service = (row) => this.palette[this.services[row]][0];
  slot = (row) => this.palette[this.services[row]][1];
  inside = (row) => this.after[row] - row - 1;
  seconds = (row) => (this.ends[row] - this.starts[row]) / 1e9;

  // What is known of a model call: its model, the moments that part it, and the consumer's own time.
  call(row) {
    const found = this.calls[row];
    if (!found) return null;
    const [model, compute, first, held] = found;
    return { model: this.words[model], compute, first, held };
  }

  // Whether the name of the service says something new in this row.
  enters = (row) => this.parents[row] < 0 || this.services[row] !== this.services[this.parents[row]];

  text(row) {
    const call = this.call(row);
    return `${this.name(row)}\n${this.service(row)}\n${call ? call.model : ""}\n${this.ids[row]}`.toLowerCase();
  }

  // The rows of one share of the time, as its button names it; null where there is no such share.
  share(key) {
    if (key === "other:") {
      const taken = new Set(this.shares.filter(([phase]) => phase !== "other").flatMap(([, , rows]) => rows));
      return new Set(this.ids.map((_, row) => row).filter((row) => !taken.has(row) && !this.calls[row]));
    }
    const found = this.shares.find(([phase, model]) => key === `${phase}:${model ?? ""}`);
    return found ? new Set(found[2]) : null;
  }
}
