// Tiles: a number, its range, and its history with axes. Missing measurements are gaps.
// @ts-check
import { at, clock, draw, el, keyed, number, say, set, svg } from "./dom.js";

const WIDTH = 280, HEIGHT = 76, LEFT = 2, RIGHT = 278, TOP = 12, BOTTOM = 62;

/** @typedef {{ name: string, unit: string, latest: number | null, recent: Array<number | null> }} Line */
/** @typedef {{ window: string, step_seconds: number, points_max: number, second: number, lines: Line[] }} Tiles */
/** @typedef {{ key: string, title: string, lines: Line[], labels: string[] }} Tile */

/** @type {Record<string, string>} */
const TITLES = {
  requests_per_second: "Requests", error_ratio: "Server errors", requests_in_flight: "In flight", cache_hit_ratio: "Cache hits",
  resident_memory_bytes: "Resident memory", cpu_cores: "CPU", orchestrator_queue_depth: "Queue",
};
const LATENCY = ["p50_seconds", "p95_seconds", "p99_seconds"];
const ORDER = ["requests_per_second", "error_ratio", "latency", "requests_in_flight", "cache_hit_ratio", "", "resident_memory_bytes", "cpu_cores"];

/** @param {Line[]} lines @returns {Tile[]} */
function tiles(lines) {
  const latency = LATENCY.flatMap((name) => lines.filter((line) => line.name === name));
  const others = lines.filter((line) => !LATENCY.includes(line.name));
  const one = (/** @type {Line} */ line) => ({ key: line.name, title: TITLES[line.name] ?? line.name.replaceAll("_", " "), lines: [line], labels: [""] });
  const all = others.map(one);
  if (latency.length) all.push({ key: "latency", title: "Latency", lines: latency, labels: latency.map((line) => line.name.split("_")[0]) });
  const place = (/** @type {Tile} */ tile) => (ORDER.includes(tile.key) ? ORDER.indexOf(tile.key) : ORDER.indexOf(""));
  return all.sort((a, b) => place(a) - place(b));
}

/** Returns a round top of the axis that is not below the value. @param {number} value @param {string} unit */
function top(value, unit) {
  if (unit === "ratio") return [0.01, 0.05, 0.1, 0.25, 0.5, 1].find((bound) => value <= bound) ?? 1;
  if (!(value > 0)) return 1;
  const base = unit === "B" ? 2 : 10;
  const power = base ** Math.floor(Math.log(value) / Math.log(base));
  return ([1, 2, 5, 10].find((step) => value <= step * power) ?? 10) * power;
}

/** Returns the segments of a line; a point between two gaps is a dot. @param {Array<number | null>} points @param {number} max @param {number} highest */
function path(points, max, highest) {
  const x = (/** @type {number} */ index) => (RIGHT - ((points.length - 1 - index) * (RIGHT - LEFT)) / Math.max(max - 1, 1)).toFixed(1);
  const y = (/** @type {number} */ value) => (BOTTOM - (Math.min(value, highest) / highest) * (BOTTOM - TOP)).toFixed(1);
  let text = "", open = false;
  points.forEach((value, index) => {
    if (value === null) {
      open = false;
      return;
    }
    text += `${open ? "L" : "M"}${x(index)} ${y(value)}`;
    if (!open && (points[index + 1] ?? null) === null) text += "h0";
    open = true;
  });
  return text;
}

/** @param {Tiles} state @param {number} started @param {number} now by the clock of the service */
function restart(state, started, now) {
  const length = state.step_seconds * state.points_max;
  const ago = (now - started) / 1000;
  return ago >= 0 && ago < length ? RIGHT - (ago / length) * (RIGHT - LEFT) : null;
}

/** @param {Tile} tile */
function make(tile) {
  const chart = svg("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img" });
  chart.append(svg("title", {}));
  for (const height of [TOP, (TOP + BOTTOM) / 2, BOTTOM]) chart.append(svg("line", { class: "grid", x1: LEFT, x2: RIGHT, y1: height, y2: height }));
  chart.append(svg("line", { class: "restart", y1: TOP - 4, y2: BOTTOM }, svg("title", {})));
  tile.lines.forEach((_, index) => chart.append(svg("path", { class: `line l${index}` })));
  chart.append(svg("text", { class: "y", x: LEFT, y: TOP - 3 }), svg("text", { class: "x0", x: LEFT, y: HEIGHT - 2 }));
  chart.append(svg("text", { class: "x1", x: (LEFT + RIGHT) / 2, y: HEIGHT - 2, "text-anchor": "middle" }));
  chart.append(svg("text", { class: "x2", x: RIGHT, y: HEIGHT - 2, "text-anchor": "end" }));
  const now = el("span", { class: "now" }, ...tile.lines.map((_, index) => el("span", { class: tile.lines.length > 1 ? `k${index}` : null })));
  return el("div", { class: tile.lines.length > 1 ? "tile three" : "tile" }, el("h3", null, tile.title), el("span", { class: "range" }), now, chart);
}

/** @type {Record<string, string[]>} */
const AXIS = { "5m": ["−5 min", "−2:30"], "1h": ["−1 h", "−30 min"], "24h": ["−24 h", "−12 h"] };

/** Formats a range, with the unit once if both ends share it. @param {string} least @param {string} most */
const between = (least, most) => `${least.split(" ")[1] === most.split(" ")[1] ? least.split(" ")[0] : least} … ${most}`;

/** @param {any} node @param {Tile} tile @param {Tiles} state @param {number} started @param {number} moment */
function fill(node, tile, state, started, moment) {
  const unit = tile.lines[0].unit;
  const known = tile.lines.flatMap((line) => line.recent.filter((value) => value !== null));
  const [least, most] = known.length ? [Math.min(...known), Math.max(...known)] : [null, null];
  const highest = top(most ?? 0, unit);
  const [, range, now, chart] = node.children;
  const text = (/** @type {number} */ index) => number(tile.lines[index].recent.at(-1), unit);
  tile.lines.forEach((_, index) => say(now.children[index], tile.labels[index] ? `${index ? " · " : ""}${tile.labels[index]} ${text(index)}` : text(index)));
  say(range, known.length && tile.lines.length === 1 ? between(number(least, unit), number(most, unit)) : known.length ? "" : "no value yet");
  const title = `${tile.title}, ${tile.lines.map((_, index) => `${tile.labels[index]} ${text(index)}`.trim()).join(", ")}; lowest ${number(least, unit)}, highest ${number(most, unit)}`;
  say(chart.querySelector("title"), title);
  set(chart, "aria-label", title);
  [...chart.querySelectorAll(".line")].forEach((line, index) => set(line, "d", path(tile.lines[index].recent, state.points_max, highest)));
  say(chart.querySelector(".y"), number(highest, unit));
  const [begin, middle] = AXIS[state.window] ?? ["", ""];
  say(chart.querySelector(".x0"), begin);
  say(chart.querySelector(".x1"), middle);
  say(chart.querySelector(".x2"), "now");
  const mark = chart.querySelector(".restart");
  const x = restart(state, started, moment);
  mark.toggleAttribute("hidden", x === null);
  mark.style.display = x === null ? "none" : "";
  if (x !== null) {
    set(mark, "x1", x.toFixed(1));
    set(mark, "x2", x.toFixed(1));
    say(mark.firstElementChild, `the process started at ${clock(started)}`);
  }
}

/** @param {Tiles} state @param {number} started @param {number} moment */
export function drawTiles(state, started, moment) {
  const place = at("tiles");
  draw(place, () => keyed(place, tiles(state.lines), (tile) => tile.key + tile.lines.length, make, (node, tile) => fill(node, tile, state, started, moment)));
}

/** Adds the points of the last second; returns false if earlier ones are missing. @param {Tiles} state @param {{ second: number, points: Array<[string, Array<number | null>]> }} tick */
export function append(state, tick) {
  const fresh = tick.second - state.second;
  if (state.window !== "5m" || fresh <= 0) return true;
  if (fresh > 2) return false;
  state.second = tick.second;
  for (const [name, points] of tick.points) {
    const line = state.lines.find((known) => known.name === name);
    if (!line) continue;
    line.recent.push(...points.slice(-fresh));
    line.recent.splice(0, line.recent.length - state.points_max);
  }
  return true;
}
