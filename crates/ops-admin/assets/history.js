// The past: charts and lines from before the start of the process, queries to the history, and SQL.
// @ts-check
import { at, clock, draw, el, fillTable, keyed, say, set } from "./dom.js";
import { ask, send } from "./live.js";
import { fillLine, makeLine } from "./lines.js";

/** @typedef {{ columns: string[], rows: any[][], truncated: boolean, files: number, skipped: string[], seconds: number, current: boolean }} Answer */
/** @typedef {{ directory: string, run: number, has_engine: boolean, takes_sql: boolean, questions: Array<{ name: string, about: string, argument: string | null }> }} History */

/** Timeout in milliseconds: a statement has ten seconds, and may wait for the previous one. */
const PATIENCE = 25000;
/** Queries of the page itself. */
const OWN = ["before-run", "chart"];

/** @type {History | null} */
let known = null;

/** @param {string} name @param {string} [argument] @returns {Promise<Answer>} */
const question = (name, argument) => ask(`/api/history/${name}${argument ? `?${new URLSearchParams({ argument })}` : ""}`, PATIENCE);

/** @param {Answer} answer @returns {Array<Record<string, any>>} */
const named = (answer) => answer.rows.map((row) => Object.fromEntries(answer.columns.map((column, index) => [column, row[index]])));

/** Measurements from before the start of the process, by window. @type {Map<string, Promise<Array<Record<string, any>>>>} */
const charts = new Map();

/**
 * Adds data of the history from before the start of the process to charts, which otherwise begin there.
 * @param {any} tiles @param {number} started milliseconds @param {number} now milliseconds
 */
export async function fillPast(tiles, started, now) {
  const { window, step_seconds: step, points_max: max, lines } = tiles;
  if (!known?.has_engine || window === "5m" || started <= now - step * max * 1000) return;
  if (!charts.has(window)) charts.set(window, question("chart", window).then(named));
  /** @type {Array<Record<string, any>>} */
  let points = [];
  try {
    points = (await charts.get(window)) ?? [];
    at("history-chart").hidden = true;
  } catch (error) {
    charts.delete(window);
    at("history-chart").hidden = false;
    say(at("history-chart"), `The charts begin with this run, as the history cannot be read: ${error instanceof Error ? error.message : error}`);
  }
  for (const point of points.filter((one) => one.at * 1000 < started)) {
    const back = Math.floor((now / 1000 - point.at) / step);
    if (back >= max) continue;
    for (const line of lines) {
      while (line.recent.length <= back) line.recent.unshift(null);
      const index = line.recent.length - 1 - back;
      line.recent[index] ??= point[line.name] ?? null;
    }
  }
}

/** Converts a row to a log line. @param {Record<string, any>} row */
function asLine({ at: moment, level, logger, event, attributes, ...rest }) {
  const others = Object.entries(rest).filter(([, value]) => value !== null);
  const more = typeof attributes === "string" ? JSON.parse(attributes) : attributes;
  return JSON.stringify({ timestamp: new Date(moment).toISOString(), level, logger, event, ...Object.fromEntries(others), ...more });
}

/** @param {History} history */
async function drawBefore(history) {
  try {
    const rows = named(await question("before-run", String(history.run)));
    const lines = rows.map((row, number) => ({ number, text: asLine(row) }));
    const [newest] = rows;
    say(at("before-about"), newest ? `the last ${rows.length} lines before this start, newest first; the last one at ${clock(newest.at)}` : "no lines of an earlier run");
    const list = at("before-l");
    draw(list, () => keyed(list, lines, (line) => String(line.number), makeLine, fillLine));
  } catch (error) {
    say(at("before-about"), error instanceof Error ? error.message : String(error));
  }
}

/** @param {any} value */
const cell = (value) => (value === null ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value));

/** @param {Answer} answer */
function drawAnswer(answer) {
  const table = at("history-t");
  table.textContent = "";
  const isNumber = (/** @type {number} */ index) => answer.rows.every((row) => row[index] === null || typeof row[index] === "number");
  const columns = answer.columns.map((name, index) => ({ name, num: isNumber(index), value: (/** @type {any} */ row) => cell(row.values[index]) }));
  fillTable(table, "Query result", columns.length ? columns : [{ name: "result" }], answer.rows.map((values, number) => ({ number, values })), (row) => String(row.number), "no rows");
  const parts = [`${answer.rows.length} rows of ${answer.files} files in ${answer.seconds.toFixed(2)} s`];
  if (answer.truncated) parts.push("more rows exist");
  if (!answer.current) parts.push("the newest lines may be missing: writing them took too long");
  if (answer.skipped.length) parts.push(`left out: ${answer.skipped.join("; ")}`);
  return parts.join(" · ");
}

/** @param {any} form @param {() => Promise<Answer>} work */
async function show(form, work) {
  const output = form.querySelector("output");
  say(output, "…");
  try {
    say(output, drawAnswer(await work()));
  } catch (error) {
    say(output, error instanceof Error ? error.message : String(error));
  }
}

function chosen() {
  const name = at("history-f").elements.name.value;
  return known?.questions.find((one) => one.name === name);
}

function drawChoice() {
  const one = chosen();
  const form = at("history-f");
  say(at("history-what"), one?.about ?? "");
  form.elements.argument.required = !!one?.argument;
  form.elements.argument.parentNode.hidden = !one?.argument;
  say(form.elements.argument.parentNode.firstElementChild, one?.argument ?? "");
  set(at("history").querySelector(".curl"), "data-curl", `/api/history/${one?.name ?? ""}`);
}

/** @param {History | undefined} history */
export function drawHistory(history) {
  at("history").hidden = !history;
  at("history-nav").hidden = !history;
  if (!history) return;
  const isNew = known?.run !== history.run;
  known = history;
  if (!isNew) return;
  charts.clear();
  say(at("history-about"), `run ${history.run} of ${history.directory}`);
  at("history-off").hidden = history.has_engine;
  at("history-f").hidden = !history.has_engine;
  at("before").hidden = !history.has_engine;
  at("sql-f").hidden = !history.takes_sql;
  at("sql-off").hidden = !history.has_engine || history.takes_sql;
  const shown = history.questions.filter((one) => !OWN.includes(one.name));
  at("history-f").elements.name.replaceChildren(...shown.map((one) => el("option", null, one.name)));
  drawChoice();
  if (history.has_engine) void drawBefore(history);
}

export function startHistory() {
  const form = at("history-f");
  form.addEventListener("change", drawChoice);
  form.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    const one = chosen();
    if (one) void show(form, () => question(one.name, one.argument ? form.elements.argument.value.trim() : undefined));
  });
  const box = at("sql-f");
  box.addEventListener("submit", (/** @type {Event} */ event) => {
    event.preventDefault();
    void show(box, () => send("/api/sql", { sql: box.elements.sql.value }, PATIENCE));
  });
}
