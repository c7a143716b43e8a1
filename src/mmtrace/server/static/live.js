// News of traces from the server, gathered so that a page asks for them at most once in a `pause` (milliseconds).
// `tell` gets the ids of the traces; an empty set means that something may have been missed. A tab that nobody looks at
// lets go of its connection, because a browser has only six for one server, and asks again when it is seen.
export function onNews(tell, pause = 1000) {
  const gathered = new Set();
  let source = null;
  let waiting = false;

  function gather(ids) {
    for (const id of ids) gathered.add(id);
    if (waiting) return;
    waiting = true;
    setTimeout(pass, pause);
  }

  async function pass() {
    const ids = new Set(gathered);
    gathered.clear();
    try {
      await tell(ids);
    } finally {
      waiting = false;
      if (gathered.size) gather([]);
    }
  }

  function listen() {
    source?.close();
    source = document.hidden ? null : new EventSource("/live");
    if (!source) return;
    source.onopen = () => gather([]); // what arrived since the page was made
    source.onmessage = ({ data }) => gather(JSON.parse(data));
  }

  document.addEventListener("visibilitychange", listen);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && listen());
  listen();
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
