// The state of the page is its address, so that a link shows a colleague the same.
export class Address {
  constructor(changed) {
    this.changed = changed;
    addEventListener("popstate", () => changed());
  }

  get(key) {
    return new URL(location).searchParams.get(key) ?? "";
  }

  // Changes parameters; an empty value removes one. A `step` is one that Back takes back.
  set(changes, { step = false } = {}) {
    const next = new URL(location);
    for (const [key, value] of Object.entries(changes)) {
      if (value) next.searchParams.set(key, value);
      else next.searchParams.delete(key);
    }
    if (next.href === location.href) return;
    history[step ? "pushState" : "replaceState"](null, "", next);
    this.changed();
  }

  with(key, value) {
    const next = new URL(location);
    next.searchParams.set(key, value);
    return next.pathname + next.search;
  }
}
