// Traces: a filtered list, and one trace as a waterfall with attributes and log lines.
// @ts-check
import { address, go, view } from "./address.js";
import { announce, at, clock, el, fillTable, keyed, link, say, set, svg, time } from "./dom.js";
import { fillLine, makeLine } from "./lines.js";
import { ask } from "./live.js";

/** @type {any[]} */
let newest = [];
const CONDITIONS = ["status", "route", "min_ms"];

const name = (/** @type {any} */ trace) => (trace.route ? `${trace.method ?? ""} ${trace.route}`.trim() : trace.name);

/** @param {any[]} traces */
function drawList(traces) {
  const longest = Math.max(...traces.map((trace) => trace.duration_us), 1);
  fillTable(at("traces-t"), "Traces, newest first", [
    { name: "time", key: true, value: (trace) => clock(trace.start) },
    { name: "status", key: true, cell: (td, trace) => { say(td, `${trace.status ?? (trace.error ? "error" : "ok")}${trace.error && trace.status !== null && trace.status < 500 ? " error" : ""}${trace.slow ? " slow" : ""}`); td.className = trace.error ? "key bad" : trace.slow ? "key warn" : "key"; } },
    { name: "trace", cell: (td, trace) => link(td, address({ trace: trace.trace_id }), name(trace)) },
    { name: "duration", num: true, value: (trace) => time(trace.duration_us) },
    { name: "relative duration", cell: (td, trace) => bar(td, trace.duration_us / longest, trace.error) },
    { name: "spans", num: true, value: (trace) => trace.spans },
  ], traces, (trace) => trace.trace_id, "no traces");
}

/** @param {any} td @param {number} share @param {boolean} error */
function bar(td, share, error) {
  if (!td.firstElementChild) td.append(svg("svg", { class: "meter", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { class: "full", height: 10 })));
  set(td.firstElementChild.firstElementChild, "width", Math.max(share * 100, 0.5).toFixed(1));
  td.classList.toggle("error", error);
}

const wanted = () => CONDITIONS.filter((condition) => view()[condition]);

/** Shows the newest traces, unless a filter is set. @param {any[] | undefined} traces */
export function drawTraces(traces) {
  newest = traces ?? [];
  at("traces").hidden = !traces;
  if (!wanted().length) drawList(newest);
}

/** Number of requests so far, as an earlier response may arrive later. */
let asked = 0;

export async function refreshTraces() {
  const now = view();
  const of = (asked += 1);
  const names = wanted();
  if (!names.length) return drawList(newest);
  const query = new URLSearchParams(names.map((condition) => [condition, now[condition]]));
  set(at("traces").querySelector(".curl"), "data-curl", `/api/traces?${query}`);
  try {
    const traces = await ask(`/api/traces?limit=200&${query}`);
    if (of === asked) drawList(traces);
  } catch (error) {
    announce(`traces: ${error instanceof Error ? error.message : error}`);
  }
}

let shown = "";

/** @param {string} id */
async function open(id) {
  const place = at("trace");
  place.hidden = !id;
  if (id === shown) return;
  shown = id;
  place.textContent = "";
  if (!id) return;
  try {
    const trace = await ask(`/api/traces/${encodeURIComponent(id)}`);
    if (shown === id) drawTrace(place, trace);
  } catch (error) {
    place.append(el("p", null, `${id}: ${error instanceof Error ? error.message : error} `), closing());
    shown = "";
  }
}

const closing = () => el("button", { type: "button", on: { click: () => go({ trace: null }) } }, "Close");

/** @param {any} place @param {any} trace */
function drawTrace(place, trace) {
  const total = Math.max(trace.duration_us, 1);
  const head = el("div", { class: "head" },
    el("h3", { tabindex: "-1" }, `${name(trace)} · ${trace.status ?? ""} · ${time(trace.duration_us)}`), el("code", null, trace.trace_id),
    el("span", { class: "dim" }, new Date(trace.start).toLocaleString([], { hour12: false })),
    el("a", { href: address({ trace_id: trace.trace_id }) }, "filter the log by this trace"),
    el("button", { type: "button", class: "curl", "data-curl": `/api/traces/${trace.trace_id}` }, "copy as curl"), closing());
  const spans = trace.waterfall.map((/** @type {any} */ span) => {
    const rect = svg("rect", { x: ((span.start_us / total) * 100).toFixed(2), width: Math.max((span.duration_us / total) * 100, 0.4).toFixed(2), height: 8 });
    const summary = el("summary", null, el("span", { class: "name", title: span.name }, `${"\u00a0\u00a0".repeat(span.depth)}${span.name}`),
      svg("svg", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, rect), el("span", { class: "num" }, `${time(span.duration_us)}${span.error ? " ✕" : ""}`));
    const rows = [["span id", span.span_id], ["starts after", time(span.start_us)], ...span.attributes];
    const table = el("table", null, el("tbody", null, ...rows.map(([key, value]) => el("tr", null, el("th", { scope: "row" }, key), el("td", null, el("pre", null, value))))));
    // the statement is what most readers look for
    const has_sql = span.attributes.some((/** @type {string[]} */ pair) => pair[0] === "db.query.text");
    return el("details", { class: span.error ? "error" : null, open: has_sql }, summary, table);
  });
  place.append(head, el("div", { class: "spans" }, ...spans));
  if (trace.spans_left_out) place.append(el("p", { class: "dim" }, `${trace.spans_left_out} more spans are not shown`));
  place.append(el("h3", null, "Log lines of this trace"));
  const lines = el("ol", { class: "plain lines" });
  keyed(lines, trace.lines.map((/** @type {string} */ text, /** @type {number} */ index) => ({ number: index, text })), (/** @type {any} */ line) => String(line.number), makeLine, fillLine);
  place.append(trace.lines.length ? lines : el("p", { class: "dim" }, "no stored log lines"));
  head.firstElementChild.focus({ preventScroll: true });
  place.scrollIntoView({ block: "start" });
}

/** @param {Record<string, string>} now */
export function showTraces(now) {
  const form = at("traces-f");
  for (const condition of CONDITIONS) if (form.elements[condition].value !== (now[condition] ?? "")) form.elements[condition].value = now[condition] ?? "";
  void refreshTraces();
  void open(now.trace ?? "");
}

export function startTraces() {
  const form = at("traces-f");
  form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  form.addEventListener("input", () => {
    if (form.reportValidity()) go(Object.fromEntries(CONDITIONS.map((condition) => [condition, form.elements[condition].value.trim()])), true);
  });
}

