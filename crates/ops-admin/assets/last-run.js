// The previous run: how it ended, and its last seconds, newest first.
// @ts-check
import { at, clock, draw, keyed, say, set, span } from "./dom.js";
import { fillLine, makeLine } from "./lines.js";

/** @typedef {{ kind: string, at: number, level: string | null, name: string | null, text: string }} LastRecord */
/** @typedef {{ ending: string, how: string, is_clean: boolean, started_at: number | null, last_seen: number | null, kept: string | null, records: LastRecord[], left_out: number, torn: number }} LastRun */

/** Converts a record to a log line; other records have their kind instead of a level. @param {LastRecord} record */
function asLine(record) {
  if (record.kind === "line") return record.text;
  const head = { timestamp: new Date(record.at).toISOString(), level: record.kind, event: record.name ?? "" };
  try {
    return JSON.stringify({ ...head, ...JSON.parse(record.text) });
  } catch {
    return JSON.stringify({ ...head, text: record.text });
  }
}

/** @param {LastRun} last */
function about(last) {
  const parts = [];
  if (last.last_seen && last.started_at) parts.push(`last seen ${clock(last.last_seen)}, after ${span((last.last_seen - last.started_at) / 1000)}`);
  if (last.left_out) parts.push(`${last.left_out} older records are not shown`);
  if (last.torn) parts.push(`${last.torn} records are incomplete`);
  if (last.kept) parts.push(`full record: ${last.kept}`);
  return parts.join(" · ");
}

/** @param {LastRun | undefined} last */
export function drawLastRun(last) {
  at("last-run").hidden = !last;
  at("last-run-nav").hidden = !last;
  if (!last) return;
  set(at("last-run-ending"), "data-state", last.is_clean ? "ok" : "failing");
  say(at("last-run-ending"), last.ending.replaceAll("_", " "));
  say(at("last-run-how"), last.how);
  say(at("last-run-about"), about(last));
  const lines = last.records.map((record, number) => ({ number, text: asLine(record) })).reverse();
  const list = at("last-run-l");
  draw(list, () => keyed(list, lines, (line) => String(line.number), makeLine, fillLine));
}
