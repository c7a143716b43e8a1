// What cannot be read: texts, and inks on the colours of the palette, whose contrast is under 4.5 (WCAG 2.2, 1.4.3).
function contrasts() {
  const LEAST = 4.5;

  function channels(colour) {
    const found = colour.match(/[\d.]+/g).map(Number);
    const scale = colour.startsWith("color(srgb") ? 255 : 1;
    return { rgb: found.slice(0, 3).map((part) => part * scale), alpha: found[3] ?? 1 };
  }

  function luminance(rgb) {
    const [r, g, b] = rgb
      .map((part) => part / 255)
      .map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function contrast(one, other) {
    const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  }

  function behind(element) {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, alpha } = channels(getComputedStyle(at).backgroundColor);
      if (alpha > 0.99) return rgb;
    }
    return [255, 255, 255];
  }

  const own = (element) =>
    [...element.childNodes]
      .filter((node) => node.nodeType === 3)
      .map((node) => node.textContent.trim())
      .join("");
  const seen = (element) =>
    element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
    !element.closest("option, defs, title, script, .segment");

  function texts() {
    const elements = [...document.querySelectorAll("body *")].filter((element) => own(element) && seen(element));
    return elements
      .map((element) => {
        const drawn = element instanceof SVGElement;
        const style = getComputedStyle(element);
        const ink = channels(drawn ? style.fill : style.color).rgb;
        return [
          own(element).slice(0, 30),
          contrast(ink, behind(drawn ? element.closest("div, figure, section") : element)),
        ];
      })
      .filter(([, ratio]) => ratio < LEAST);
  }

  function slots() {
    const probe = document.body.appendChild(document.createElement("p"));
    const colour = (slot, value) => {
      probe.className = `s${slot}`;
      probe.style.color = value;
      return channels(getComputedStyle(probe).color).rgb;
    };
    return [...Array(12).keys()].filter(
      (slot) => contrast(colour(slot, "var(--c)"), colour(slot, "var(--on)")) < LEAST,
    );
  }

  return { texts, slots };
}
