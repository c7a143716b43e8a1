// What every page does: times in the person's zone, copy buttons, the list of keys.
import { byId, copy } from "./dom.js";
import { moment } from "./formats.js";

export function localTimes(root = document) {
  const now = new Date();
  for (const element of root.querySelectorAll("time[datetime]:not([title])")) {
    const date = new Date(element.dateTime);
    if (isNaN(date)) continue;
    element.title = `${element.dateTime.replace("T", " ").replace("Z", "")} UTC`;
    element.textContent = moment(date, now);
  }
}

const typing = (target) => target.matches?.("input:not([type=checkbox]), select, textarea");

// Listens for keys: `handlers` maps a key to what it does; keys typed into a field stay there, but for Escape.
export function onKeys(handlers) {
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (typing(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    const handler = handlers[event.key] ?? COMMON[event.key];
    if (handler && handler(event) !== false) event.preventDefault();
  });
}

const COMMON = {
  "?": () => byId("keys").showModal(),
  "/": () => {
    const field = document.querySelector("[data-search]");
    field?.focus();
    field?.select();
    return Boolean(field);
  },
};

document.documentElement.classList.add("scripted");
localTimes();
byId("help").addEventListener("click", () => byId("keys").showModal());
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], [data-text]");
  if (button) copy(button.dataset.text ?? byId(button.dataset.copy).textContent, button);
});
for (const form of document.querySelectorAll("form.filters")) {
  form.addEventListener("change", () => form.requestSubmit());
  form.addEventListener("formdata", ({ formData }) => {
    for (const [key, value] of [...formData]) if (!value) formData.delete(key);
    if (formData.get("range")) ["from", "to"].forEach((key) => formData.delete(key));
  });
}
