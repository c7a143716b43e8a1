// The list of traces: live without moving what is being read, with a plot above.
import { byId, h } from "./dom.js";
import { fragment, onNews } from "./live.js";
import { localTimes, onKeys } from "./page.js";
import { Plot } from "./plot.js";

const rows = byId("rows");
const news = byId("news");
const HELD = 2000; // a pointer that moved over the table so lately is reading it
const held = new Map();
let settling = 0;
let touched = -HELD;

const all = () => [...rows.children];
const plot = new Plot(byId("plot"), byId("tip"));
const draw = () => plot.draw([...held.values(), ...all()]);

const reading = () =>
  scrollY > 40 || rows.contains(document.activeElement) || rows.matches(":hover") || performance.now() - touched < HELD;

async function refresh() {
  const fresh = await fragment(rows.dataset.rows);
  if (!fresh) return;
  const known = new Map(all().map((row) => [row.dataset.trace, row]));
  for (const row of fresh.querySelectorAll("tr[data-trace]")) {
    const old = known.get(row.dataset.trace);
    const here = document.adoptNode(row);
    localTimes(here);
    if (!old) held.set(here.dataset.trace, here);
    else if (old.innerHTML !== here.innerHTML) update(old, here);
  }
  byId("first")?.remove();
  byId("found").hidden = false;
  document.querySelector(".none:not(:has([href*=limit]))")?.remove();
  settle();
  draw();
}

// Shows what is held as soon as nobody reads; until then a button offers it.
function settle() {
  if (!held.size) return;
  if (!reading() && !rows.dataset.order) return show();
  offer();
  clearTimeout(settling);
  settling = setTimeout(settle, HELD);
}

// A trace that grew: new figures in the row that is there, which stays the same link.
function update(old, fresh) {
  for (const [key, value] of Object.entries(fresh.dataset)) old.dataset[key] = value;
  [...old.children].forEach((cell, at) => {
    if (cell.innerHTML !== fresh.children[at].innerHTML) cell.replaceChildren(...fresh.children[at].childNodes);
  });
}

function offer() {
  news.hidden = held.size === 0;
  news.textContent = `${held.size} new`;
}

function show() {
  const fresh = [...held.values()].sort((one, other) => (one.dataset.start < other.dataset.start ? 1 : -1));
  for (const row of fresh) {
    row.classList.add("fresh");
    rows.insertBefore(row, all().find((old) => old.dataset.start <= row.dataset.start) ?? null);
  }
  held.clear();
  byId("count").textContent = rows.children.length;
  offer();
}

news.addEventListener("click", () => {
  if (rows.dataset.order) return location.reload();
  show();
  draw();
  scrollTo({ top: 0 });
});
rows.addEventListener("pointermove", () => (touched = performance.now()));

function step(by) {
  const links = all().map((row) => row.querySelector("a"));
  const at = links.indexOf(document.activeElement);
  const next = links[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links.length - 1)];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

onKeys({ j: () => step(1), k: () => step(-1), Escape: () => document.activeElement.blur() });
onNews(refresh);
addEventListener("resize", draw);
draw();
