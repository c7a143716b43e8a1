// How numbers and moments are written: three significant digits and a unit; pages/formats.py writes the same.
const UNITS = [
  [7200, "h", 3600],
  [120, "min", 60],
  [1, "s", 1],
  [1e-3, "ms", 1e-3],
  [1e-6, "µs", 1e-6],
  [0, "ns", 1e-9],
];

export function three(value) {
  if (!value) return "0";
  const rounded = Number(value.toPrecision(3));
  return rounded.toFixed(Math.max(0, 2 - Math.floor(Math.log10(Math.abs(rounded)))));
}

export function duration(seconds) {
  const rounded = Number(seconds.toPrecision(3));
  if (!(rounded > 0)) return "0 ms";
  const [, unit, factor] = UNITS.find(([least]) => rounded >= least);
  return `${three(rounded / factor)} ${unit}`;
}

export const count = (number) => number.toLocaleString("en-US");

const sameDay = (one, other) => one.toDateString() === other.toDateString();
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };

// The moment in the person's own zone, with the day where it is not today.
export function moment(date, now = new Date()) {
  const clock = `${date.toLocaleTimeString(undefined, CLOCK)}.${String(date.getMilliseconds()).padStart(3, "0")}`;
  if (sameDay(date, now)) return clock;
  const year = date.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return `${date.toLocaleDateString(undefined, { month: "short", day: "numeric", year })} ${clock}`;
}

// Round steps for an axis from `low` to `high` with at most `most` of them.
export function steps(low, high, most) {
  const rough = (high - low) / Math.max(most, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough) ?? power * 10;
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push(at * step);
  return found;
}
