// The log: newest first, filtered, and not changed while it is being read.
// @ts-check
import { address, go, view } from "./address.js";
import { at, clock, el, isHeld, keyed, say, set } from "./dom.js";
import { ask } from "./live.js";

const KEPT = 400;
const CONDITIONS = ["level", "text", "trace_id"];
const LEVELS = ["trace", "debug", "info", "warning", "error", "critical"];
const HEAD = ["timestamp", "level", "logger", "event"];

/** @typedef {{ number: number, text: string, missed?: number }} Line */
/** @type {Line[]} */
let lines = [];
let paused = false, pending = 0;

/** @param {string} text @returns {any} */
function fields(text) {
  try {
    return JSON.parse(text);
  } catch {
    return { event: text };
  }
}

const shown = (/** @type {any} */ value) => (typeof value === "string" ? value : JSON.stringify(value));

/** @param {Line} line */
export function makeLine(line) {
  if (line.missed) return el("li", { class: "missed" });
  return el("li", null, el("details", null, el("summary", { class: "mono" }, el("span", { class: "dim" }), " ", el("span", { class: "level" }), " ", el("b"), " ", el("span")), el("pre"), el("p")));
}

/** Text of a node, since another process also numbers its lines from one. @type {WeakMap<any, string>} */
const filled = new WeakMap();

/** @param {any} node @param {Line} line */
export function fillLine(node, line) {
  if (line.missed) return say(node, `${line.missed} lines are not shown`);
  if (filled.get(node) === line.text) return;
  filled.set(node, line.text);
  const found = fields(line.text);
  const [time, level, event, rest] = node.querySelectorAll("summary > *");
  const written = Date.parse(found.timestamp);
  say(time, Number.isNaN(written) ? "" : clock(written, 3));
  say(level, found.level ?? "");
  set(level, "data-level", found.level ?? "");
  say(event, `${found.event ?? ""}`);
  say(rest, Object.entries(found).filter(([key]) => !HEAD.includes(key)).map(([key, value]) => `${key}=${shown(value)}`).join(" "));
  say(node.querySelector("pre"), JSON.stringify(found, null, 2));
  const isTraced = /^[0-9a-f]{32}$/.test(found.trace_id ?? "");
  node.querySelector("p").replaceChildren(...(isTraced ? [el("a", { href: address({ trace: found.trace_id }) }, "show trace")] : []));
}

/** @param {Line} line */
function isWanted(line) {
  const now = view();
  // any of them may be one
  if (line.missed) return true;
  if (now.text && !line.text.toLowerCase().includes(now.text.toLowerCase())) return false;
  if (!now.level && !now.trace_id) return true;
  const found = fields(line.text);
  const severe = LEVELS.indexOf(found.level) >= LEVELS.indexOf(now.level ?? "trace");
  // ids may be in capitals, as for `/api/lines`
  return severe && (!now.trace_id || `${found.trace_id}`.toLowerCase() === now.trace_id.toLowerCase());
}

/** Returns the matching lines; adjacent notes about missed lines are merged. */
function wantedLines() {
  /** @type {Line[]} */
  const wanted = [];
  for (const line of lines.filter(isWanted)) {
    const above = wanted.at(-1);
    if (line.missed && above?.missed) wanted.splice(-1, 1, { ...line, missed: above.missed + line.missed });
    else wanted.push(line);
  }
  return wanted;
}

function drawList() {
  const wanted = wantedLines();
  const count = wanted.filter((line) => !line.missed).length;
  pending = 0;
  keyed(at("lines-l"), wanted, (line) => (line.missed ? `m${line.number}` : String(line.number)), makeLine, fillLine);
  at("fresh").hidden = true;
  say(at("lines-count"), count ? `${count} lines` : "no matching lines");
}

/** Returns true if the log is being read: scrolled, selected, opened, or navigated with the keyboard. */
function isRead() {
  const place = at("lines-s");
  return paused || place.scrollTop > 2 || isHeld(place) || !!place.querySelector("details[open]");
}

/** @param {{ last: number, missed: number, lines: string[] }} fresh */
export function addLines(fresh) {
  const begin = fresh.last - fresh.lines.length + 1;
  const known = lines.length ? lines[0].number : 0;
  const added = fresh.lines.map((text, index) => ({ number: begin + index, text })).filter((line) => line.number > known);
  // a line larger than an event counts as missed too, and no line comes with it
  if (fresh.missed && fresh.last > known) added.unshift(/** @type {any} */ ({ number: begin - 1, text: "", missed: fresh.missed }));
  lines = [...added.reverse(), ...lines].slice(0, KEPT);
  if (!isRead()) return drawList();
  pending += added.filter((line) => !(/** @type {any} */ (line).missed) && isWanted(line)).length;
  at("fresh").hidden = !pending;
  say(at("fresh"), `Show ${pending} new`);
}

/** Removes the lines: the next ones may come from another process. */
export function forgetLines() {
  lines = [];
}

/** Requests the stored lines that match the conditions. */
export async function refreshLines() {
  const now = view();
  const query = new URLSearchParams(CONDITIONS.flatMap((name) => (now[name] ? [[name, now[name]]] : [])));
  set(at("lines").querySelector(".curl"), "data-curl", `/api/lines${query.size ? `?${query}` : ""}`);
  try {
    const all = await ask("/api/lines");
    lines = all.lines.map((/** @type {string} */ text, /** @type {number} */ index) => ({ number: all.last - index, text }));
    drawList();
  } catch (error) {
    say(at("lines-count"), error instanceof Error ? error.message : String(error));
  }
}

let before = "";

/** @param {Record<string, string>} now */
export function showLines(now) {
  const form = at("lines-f");
  for (const name of CONDITIONS) if (form.elements[name].value !== (now[name] ?? "")) form.elements[name].value = now[name] ?? "";
  const conditions = CONDITIONS.map((name) => now[name] ?? "").join("\n");
  if (conditions !== before) void refreshLines();
  before = conditions;
}

export function startLines() {
  const form = at("lines-f");
  form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  form.addEventListener("input", () => go(Object.fromEntries(CONDITIONS.map((name) => [name, form.elements[name].value.trim()])), true));
  at("pause").addEventListener("click", () => {
    paused = !paused;
    set(at("pause"), "aria-pressed", paused);
    say(at("pause"), paused ? "Resume" : "Pause");
    if (!paused) drawList();
  });
  at("fresh").addEventListener("click", () => {
    for (const open of at("lines-s").querySelectorAll("details[open]")) open.open = false;
    at("lines-s").scrollTop = 0;
    drawList();
    at("lines-s").focus();
  });
}
