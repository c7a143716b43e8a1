// News of traces from the server, gathered so that a page asks for them at most once a second.
export function onNews(tell, pause = 1000) {
  const gathered = new Set();
  let waiting = false;
  const source = new EventSource("/live");
  source.onmessage = ({ data }) => {
    for (const id of JSON.parse(data)) gathered.add(id);
    if (waiting) return;
    waiting = true;
    setTimeout(async () => {
      const ids = new Set(gathered);
      gathered.clear();
      try {
        await tell(ids);
      } finally {
        waiting = false;
        if (gathered.size) source.onmessage({ data: "[]" });
      }
    }, pause);
  };
  addEventListener("pagehide", () => source.close());
}

// The elements that the server renders for `address` now, or null where it does not answer.
export async function fragment(address) {
  try {
    const response = await fetch(address);
    if (!response.ok) return null;
    return new DOMParser().parseFromString(`<table>${await response.text()}</table>`, "text/html");
  } catch {
    return null;
  }
}
