// Elements made and found; what is given as text stays text.
const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key in element && key !== "role") element[key] = value;
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children.filter(Boolean));
  return element;
}

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Runs `work` once before the next frame, however often it is asked for.
export function onFrame(work) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      work();
    });
  };
}

// Calls `move` while the pointer is held down, and `end` with whether it moved at all.
export function onDrag(element, { start, move, end }) {
  element.addEventListener("pointerdown", (down) => {
    if (down.button !== 0 || start(down) === false) return;
    let moved = false;
    const moving = (event) => {
      if (!moved && Math.abs(event.clientX - down.clientX) < 4) return;
      if (!moved) element.setPointerCapture?.(down.pointerId);
      moved = true;
      move(event, down);
    };
    const stop = (event) => {
      removeEventListener("pointermove", moving);
      removeEventListener("pointerup", stop);
      removeEventListener("pointercancel", stop);
      end(event, down, moved && event.type === "pointerup");
    };
    addEventListener("pointermove", moving);
    addEventListener("pointerup", stop);
    addEventListener("pointercancel", stop);
  });
}

export async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = h("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1200);
}
