// Background work: each job with its phases on a timeline.
// @ts-check
import { address } from "./address.js";
import { at, clock, el, fillTable, keyed, link, say, set, svg, time } from "./dom.js";

/** @typedef {{ name: string, took_ms: number | null, ok: boolean }} Phase */
/** @typedef {{ id: string, name: string, state: string, status: string, requested_at: number, started_at: number | null, took_ms: number | null, phases: Phase[], note: string, trace_id: string | null }} Job */

/** @type {Record<string, string>} */
const CLASSES = { done: "good", failed: "bad", stopped: "warn", running: "warn" };
/** Times are whole milliseconds: 0 is less than one. @param {number} count */
const ms = (count) => (count > 0 ? time(count * 1000) : "< 1 ms");

/** Returns consecutive phases; a running one lasts until now. @param {Job} job @param {number} now */
function timeline(job, now) {
  let end = 0;
  const bars = job.phases.map((phase) => {
    const start = end;
    const took = phase.took_ms ?? Math.max(now - (job.started_at ?? now) - start, 0);
    end += took;
    return { ...phase, start, took };
  });
  return { bars, total: Math.max(end, job.took_ms ?? 0, 1) };
}

/** @param {any} td @param {Job} job @param {number} now */
function drawPhases(td, job, now) {
  if (!td.firstElementChild) td.append(svg("svg", { class: "phases", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }), el("span", { class: "steps" }));
  const [chart, steps] = td.children;
  const { bars, total } = timeline(job, now);
  chart.toggleAttribute("hidden", !bars.length);
  const key = (/** @type {any} */ bar) => String(bars.indexOf(bar));
  keyed(chart, bars, key, () => svg("rect", { height: 8 }), (rect, bar) => {
    set(rect, "class", !bar.ok ? "failed" : bar.took_ms === null ? "running" : `p${bars.indexOf(bar) % 3}`);
    set(rect, "x", ((bar.start / total) * 100).toFixed(2));
    set(rect, "width", Math.max((bar.took / total) * 100, 0.4).toFixed(2));
  });
  keyed(steps, bars, key, () => el("span", { class: "step" }), (node, bar) => {
    node.classList.toggle("bad", !bar.ok);
    say(node, `${bar.name} ${ms(bar.took)}${bar.ok ? (bar.took_ms === null ? " …" : "") : " ✕"}`);
  });
}

/** @param {any} jobs @param {number} now milliseconds since 1970, by the clock of the service */
export function drawJobs(jobs, now) {
  at("jobs").hidden = !jobs;
  at("jobs-nav").hidden = !jobs;
  if (!jobs) return;
  say(at("jobs-h"), jobs.title);
  say(at("jobs-nav"), jobs.title);
  say(at("jobs-more"), jobs.panicked ? "the function that lists the jobs panicked; see the log" : jobs.left_out ? `the newest ${jobs.items.length}; ${jobs.left_out} more are not shown` : "");
  fillTable(at("jobs-t"), jobs.title, [
    { name: "requested", key: true, value: (job) => clock(job.requested_at) },
    { name: "job", key: true, cell: (td, job) => { say(td, job.name); set(td, "title", job.id); } },
    { name: "state", cell: (td, job) => {
      if (!td.firstElementChild) td.append(el("b"), " ", el("span", { class: "dim" }));
      td.firstElementChild.className = CLASSES[job.state] ?? "dim";
      say(td.firstElementChild, job.status || job.state);
      say(td.lastElementChild, job.note);
    } },
    { name: "duration", num: true, value: (job) => (job.took_ms !== null ? ms(job.took_ms) : job.started_at ? `${ms(Math.max(now - job.started_at, 0))} …` : "–") },
    { name: "phases", cell: (td, job) => drawPhases(td, job, now) },
    { name: "trace", cell: (td, job) => link(td, job.trace_id ? address({ trace: job.trace_id }) : null, job.trace_id ? "trace" : "–") },
  ], jobs.items, (job) => job.id, "none yet");
}

/** Returns true while a job runs and its bar grows. @param {any} jobs */
export const isMoving = (jobs) => !!jobs?.items.some((/** @type {Job} */ job) => job.state === "running");
