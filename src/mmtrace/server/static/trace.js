// One trace: the parts of the page, and how they follow the address.
import { Address } from "./address.js";
import { Bars } from "./bars.js";
import { Details } from "./details.js";
import { byId, onDrag } from "./dom.js";
import { count } from "./formats.js";
import { Links } from "./links.js";
import { onNews } from "./live.js";
import { Minimap } from "./minimap.js";
import { onKeys } from "./page.js";
import { Rows } from "./rows.js";
import { Ruler } from "./ruler.js";
import { Spans } from "./spans.js";
import { Tree } from "./tree.js";

const spans = new Spans(JSON.parse(byId("data").textContent));
const tree = new Tree(spans);
const address = new Address(follow);
const links = new Links(spans, byId("links"), open);
const rows = new Rows({
  spans,
  tree,
  bars: new Bars(spans),
  scroller: byId("scroller"),
  inner: byId("rows"),
  address,
  links,
});
const zoom = ({ start, end }) =>
  address.set({ zoom: whole(start, end) ? "" : `${Math.round(start)}-${Math.round(end)}` });
const ruler = new Ruler({
  area: byId("ruler"),
  grid: byId("grid"),
  chart: byId("chart"),
  selection: byId("selection"),
  rows,
  changed: bounded,
});
const minimap = new Minimap({ canvas: byId("minimap"), spans, tree, rows, changed: bounded });
const details = new Details({
  panel: byId("details"),
  spans,
  links,
  open,
  close: () => address.set({ span: "", logs: "" }, { step: true }),
});
const find = byId("find");
const logs = byId("logs");

const whole = (start, end) => start <= 0 && end >= spans.length;

function bounded({ start, end }) {
  zoom({ start: Math.max(start, 0), end: Math.min(end, spans.length) });
}

function open(row) {
  address.set({ span: spans.ids[row], logs: "" }, { step: true });
}

// --- the address decides what is shown ---

function follow() {
  const [start, end] = address.get("zoom").split("-").map(Number);
  rows.view = end > start ? { start, end } : { start: 0, end: Math.max(spans.length, 1) };
  tree.folded = new Set(
    address
      .get("fold")
      .split(",")
      .filter((id) => spans.row.has(id))
      .map((id) => spans.row.get(id)),
  );
  tree.found = looked(address.get("find"), address.get("only"));
  tree.refresh();
  const row = spans.row.get(address.get("span")) ?? -1;
  if (row >= 0 && !tree.place.has(row)) tree.reveal(row);
  show(row);
}

function looked(text, share) {
  const wanted = text.trim().toLowerCase();
  const ofShare = share ? spans.share(share) : null;
  if (!wanted && !ofShare) return null;
  const found = new Set();
  for (let row = 0; row < spans.count; row++) {
    if ((!ofShare || ofShare.has(row)) && (!wanted || spans.text(row).includes(wanted))) found.add(row);
  }
  return found;
}

function show(row) {
  if (row >= 0) details.show(row);
  else if (address.get("logs")) details.showLogs();
  else details.hide();
  rows.selected = row;
  minimap.draw();
  rows.draw();
  ruler.draw();
  minimap.draw();
  if (row >= 0) rows.activate(row, { center: true });
  tell();
}

function tell() {
  const { found } = tree;
  byId("shown").textContent = found ? `${count(found.size)} of ${count(spans.count)} spans` : "";
  byId("unfilter").hidden = !found;
  byId("whole").hidden = !address.get("zoom");
  if (logs) logs.ariaPressed = String(Boolean(address.get("logs")));
  if (document.activeElement !== find) find.value = address.get("find");
  const only = address.get("only");
  byId("bar").classList.toggle("chosen", Boolean(only));
  for (const part of document.querySelectorAll("[data-share]")) {
    part.classList.toggle("on", part.dataset.share === only);
    if (part.ariaPressed !== null) part.ariaPressed = String(part.dataset.share === only);
  }
}

// Words in the bar are shown where there is room for all of them.
function fit() {
  for (const text of byId("bar").querySelectorAll("text")) {
    const room = text.ownerSVGElement.width.baseVal.value - 2 * text.x.baseVal[0].value;
    text.style.visibility = text.getComputedTextLength() > room + 1 ? "hidden" : "";
  }
}

// --- what the pointer does ---

function fold(row) {
  if (!spans.inside(row)) return;
  if (!tree.folded.delete(row)) tree.folded.add(row);
  address.set({ fold: [...tree.folded].map((one) => spans.ids[one]).join(",") });
}

function rowOf(event) {
  const element = event.target.closest(".row");
  return element ? Number(element.dataset.row) : -1;
}

byId("rows").addEventListener("click", (event) => {
  const row = rowOf(event);
  if (row < 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.target.closest(".chain")) return;
  event.preventDefault();
  rows.active = row;
  if (event.target.closest(".fold")) fold(row);
  else if (!ruler.dragged) open(row);
});
byId("rows").addEventListener("dblclick", (event) => {
  const row = rowOf(event);
  if (row < 0 || event.target.closest(".fold, .chain")) return;
  const [start, end] = [spans.starts[row], spans.ends[row]];
  const spare = Math.max((end - start) * 0.02, 50);
  bounded({ start: start - spare, end: end + spare });
});

for (const place of [byId("bar"), byId("shares")]) {
  place.addEventListener("click", (event) => {
    const key = event.target.closest("[data-share]")?.dataset.share;
    if (key) address.set({ only: key === address.get("only") ? "" : key });
  });
}
find.addEventListener("input", () => address.set({ find: find.value }));
byId("unfilter").addEventListener("click", () => {
  find.value = "";
  address.set({ find: "", only: "" });
});
logs?.addEventListener("click", () =>
  address.set({ span: "", logs: address.get("logs") ? "" : "all" }, { step: true }),
);
byId("whole").addEventListener("click", () => address.set({ zoom: "" }));
byId("errors")?.addEventListener("click", () => {
  const failed = spans.errors;
  open(failed.find((row) => row > (spans.row.get(address.get("span")) ?? -1)) ?? failed[0]);
});
onDrag(byId("grip"), {
  start: () => true,
  move: (event) => {
    const left = byId("chart").getBoundingClientRect().left;
    document.body.style.setProperty("--names", `${Math.min(Math.max(event.clientX - left, 160), innerWidth * 0.6)}px`);
    rows.draw();
    ruler.draw();
  },
  end: () => {},
});

// --- what keys do ---

function sideways(unfold) {
  const row = rows.active;
  const folded = tree.folded.has(row);
  if (spans.inside(row) && folded === unfold) fold(row);
  else if (unfold && spans.inside(row)) rows.step(1);
  else if (!unfold && spans.parents[row] >= 0) rows.activate(spans.parents[row]);
}

function escape() {
  if (links.hide()) return;
  if (address.get("span") || address.get("logs")) address.set({ span: "", logs: "" }, { step: true });
  else if (tree.found) address.set({ find: "", only: "" });
}

const page = () => Math.floor(byId("scroller").clientHeight / 26) - 1;
const step = (by) => () => {
  byId("rows").focus({ preventScroll: true });
  rows.step(by());
};
onKeys({
  j: step(() => 1),
  ArrowDown: step(() => 1),
  k: step(() => -1),
  ArrowUp: step(() => -1),
  PageDown: step(page),
  PageUp: step(() => -page()),
  Home: step(() => -spans.count),
  End: step(() => spans.count),
  ArrowRight: () => sideways(true),
  ArrowLeft: () => sideways(false),
  Enter: (event) => !event.target.closest("a, button") && open(rows.active),
  Escape: escape,
  0: () => address.set({ zoom: "" }),
});

onNews(async (ids) => {
  if (ids.size && !ids.has(spans.trace)) return;
  const response = await fetch(`/trace/${spans.trace}/count`).catch(() => null);
  const fresh = response?.ok ? (await response.json()).spans - spans.count : 0;
  byId("news").hidden = fresh <= 0;
  byId("news").textContent = `${count(fresh)} new ${fresh === 1 ? "span" : "spans"}: show`;
});
byId("news").addEventListener("click", () => location.reload());

rows.scrolled = minimap.sight;
new ResizeObserver(() => {
  fit();
  minimap.draw();
  rows.draw();
  ruler.draw();
}).observe(byId("chart"));
follow();
