// Which rows are to be seen: not those in a folded subtree, and where something is looked for, what was found and what
// it lies in.
export class Tree {
  constructor(spans) {
    this.spans = spans;
    this.folded = new Set();
    this.found = null;
    this.refresh();
  }

  refresh() {
    const { spans, folded, found } = this;
    const kept = found && this.#withParents(found);
    const rows = [];
    for (let row = 0; row < spans.count; row++) {
      if (kept && !kept.has(row)) continue;
      rows.push(row);
      if (folded.has(row)) row = spans.after[row] - 1;
    }
    this.rows = rows;
    this.place = new Map(rows.map((row, place) => [row, place]));
  }

  #withParents(found) {
    const kept = new Set();
    for (let row of found) for (; row >= 0 && !kept.has(row); row = this.spans.parents[row]) kept.add(row);
    return kept;
  }

  // Unfolds whatever hides `row`.
  reveal(row) {
    for (let up = this.spans.parents[row]; up >= 0; up = this.spans.parents[up]) this.folded.delete(up);
    if (this.found && !this.found.has(row)) this.found = null;
    this.refresh();
  }
}
