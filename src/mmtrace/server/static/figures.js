// The models and the map: their figures follow what arrives, unless somebody is pointing at them.
import { byId } from "./dom.js";
import { onNews } from "./live.js";
import { onKeys } from "./page.js";

const live = byId("live");
const links = () => [...live.querySelectorAll("a")];

function step(by) {
  const at = links().indexOf(document.activeElement);
  const next = links()[at < 0 ? 0 : Math.min(Math.max(at + by, 0), links().length - 1)];
  next?.focus();
}

async function refresh() {
  if (live.matches(":hover") || live.contains(document.activeElement)) return;
  const response = await fetch(location.href).catch(() => null);
  if (!response?.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  live.replaceChildren(...page.getElementById("live").childNodes);
  document.querySelector(".source").replaceWith(page.querySelector(".source"));
}

onKeys({ j: () => step(1), k: () => step(-1), Escape: () => document.activeElement.blur() });
onNews(refresh, 3000);
