// Everything about one span, beside the rows. Whatever a span says is text here, never markup.
import { copy, h } from "./dom.js";
import { count } from "./formats.js";
import { localTimes } from "./page.js";

const FOLD = 240;

export class Details {
  constructor({ panel, spans, links, open, close }) {
    Object.assign(this, { panel, spans, links, open, close });
    this.asked = null;
  }

  hide() {
    this.asked = null;
    this.panel.hidden = true;
  }

  async show(row) {
    const id = this.spans.ids[row];
    if (this.asked === id) return;
    this.asked = id;
    this.#reveal("Details of the span", `details s${this.spans.slot(row)}`);
    const found = await this.#ask(`span/${id}`);
    if (this.asked !== id) return;
    this.panel.scrollTop = 0;
    this.panel.replaceChildren(
      this.#head(this.spans.name(row)),
      ...(found ? this.#parts(found, row) : [h("p", { textContent: "This span is not to be had now." })]),
    );
    localTimes(this.panel);
  }

  // All log records of the trace, in order; those of a span lead to it.
  async showLogs() {
    if (this.asked === "logs") return;
    this.asked = "logs";
    this.#reveal("Log records", "details");
    const found = await this.#ask("logs");
    if (this.asked !== "logs") return;
    this.panel.scrollTop = 0;
    this.panel.replaceChildren(
      this.#head("Log records"),
      ...(found
        ? found.logs.map((log) => h("section", {}, this.#origin(log), this.#log(log)))
        : [h("p", { textContent: "They are not to be had now." })]),
    );
  }

  #reveal(ariaLabel, className) {
    Object.assign(this.panel, { ariaLabel, className, hidden: false });
  }

  #origin(log) {
    const row = this.spans.row.get(log.span);
    const slot = this.spans.slots[log.service] ?? "-";
    return h(
      "p",
      { className: "sub" },
      h("span", { className: `chip s${slot}`, title: log.service }, h("i"), h("span", { textContent: log.service })),
      row !== undefined &&
        h("button", { className: "more", textContent: this.spans.name(row), onclick: () => this.open(row) }),
    );
  }

  async #ask(what) {
    try {
      const response = await fetch(`/trace/${this.spans.trace}/${what}`);
      return response.ok ? await response.json() : null;
    } catch {
      return null;
    }
  }

  #head(name) {
    return h(
      "header",
      {},
      h("h2", { textContent: name }),
      h("button", {
        className: "close",
        title: "Close (Esc)",
        ariaLabel: "Close",
        textContent: "×",
        onclick: this.close,
      }),
    );
  }

  #parts(found, row) {
    const ends = this.links.list(this.links.ends(row));
    return [
      h(
        "p",
        { className: "sub" },
        h("span", { className: "chip", title: found.service }, h("i"), h("span", { textContent: found.service })),
        h("span", { textContent: found.kind }),
        h("time", { dateTime: found.start, textContent: found.start }),
      ),
      found.error && h("p", { className: "failure", textContent: found.message || "It failed, and says no more." }),
      found.model.length && h("div", { className: "block" }, this.#pairs(found.model)),
      this.#section("Time", this.#pairs(found.timing)),
      found.content.length &&
        this.#section(
          "Content",
          ...found.content.flatMap(([words, text]) => [h("h3", { textContent: words }), this.#text(text)]),
        ),
      ends.length && this.#section(`Links (${count(ends.length)})`, h("div", { className: "ends" }, ...ends)),
      found.events.length &&
        this.#section(`Events (${count(found.events.length)})`, ...found.events.map((event) => this.#event(event))),
      ...found.attributes.map(([prefix, pairs]) => this.#section(prefix || "Attributes", this.#pairs(pairs))),
      found.logs.length &&
        this.#section(`Logs (${count(found.logs.length)})`, ...found.logs.map((log) => this.#log(log))),
      this.#folded("Resource", found.resource),
      this.#folded("Recorded by", [...found.scope, ["span id", found.id]]),
      found.dropped.length && this.#section("Left out by limits", this.#pairs(found.dropped)),
    ].filter(Boolean);
  }

  #section(title, ...children) {
    return h("section", {}, h("h3", { textContent: title }), ...children);
  }

  #folded(title, pairs) {
    return h("section", {}, h("details", {}, h("summary", { textContent: title }), this.#pairs(pairs)));
  }

  #pairs(pairs) {
    return h(
      "dl",
      {},
      ...pairs.map(([key, value]) => h("div", {}, h("dt", { textContent: key }), h("dd", {}, ...this.#value(value)))),
    );
  }

  #text = (text) => h("div", { className: "text" }, ...this.#value(text));

  // A value with a button that copies it; a long one is folded, however long it is.
  #value(value) {
    const shown = h("span", {
      className: "value",
      textContent: value.length > FOLD ? `${value.slice(0, FOLD)}…` : value,
    });
    const parts = [shown];
    if (value.length > FOLD) {
      const more = h("button", { className: "more", textContent: `all ${count(value.length)} characters` });
      more.addEventListener("click", () => {
        const open = shown.classList.toggle("open");
        shown.textContent = open ? value : `${value.slice(0, FOLD)}…`;
        more.textContent = open ? "less" : `all ${count(value.length)} characters`;
      });
      parts[0] = h("span", { className: "value" }, shown, more);
    }
    return [
      ...parts,
      h("button", {
        className: "copy",
        textContent: "copy",
        title: "Copy the value",
        onclick: (event) => copy(value, event.currentTarget),
      }),
    ];
  }

  #log({ offset, severity, body, attributes }) {
    const bad = /^(ERR|CRIT|FATAL)/i.test(severity);
    return h(
      "div",
      { className: "event" },
      h("span", { textContent: offset }),
      h("b", { className: bad ? "bad" : "", textContent: severity }),
      h("dl", { className: "said" }, h("dd", {}, ...this.#value(body))),
      attributes.length > 0 && h("details", { open: bad }, h("summary", { textContent: "Fields" }), this.#pairs(attributes)),
    );
  }

  #event({ name, offset, attributes }) {
    return h(
      "div",
      { className: "event" },
      h("span", { textContent: offset }),
      h("b", { textContent: name }),
      attributes.length && this.#pairs(attributes),
    );
  }
}
