// The page: requests everything once, then follows changes.
// @ts-check
import { go, notify, onView, view } from "./address.js";
import { append, drawTiles } from "./charts.js";
import { announce, at, say, set, span } from "./dom.js";
import { drawHistory, fillPast, startHistory } from "./history.js";
import { drawJobs, isMoving } from "./jobs.js";
import { drawLastRun } from "./last-run.js";
import { addLines, forgetLines, refreshLines, showLines, startLines } from "./lines.js";
import { act, ask, listen, watchAge } from "./live.js";
import { drawCache, drawCardinality, drawConfiguration, drawDependencies, drawFindings, drawLevels, drawRoutes, drawSampling, drawSecrets } from "./parts.js";
import { drawTraces, refreshTraces, showTraces, startTraces } from "./traces.js";

/** Seconds between two requests for data that is not in the stream. */
const ROUTES_EVERY = 10, ALL_EVERY = 300, RETRY_MAX = 30;
/** @type {Record<string, number>} */
const TILES_EVERY = { "5m": 300, "1h": 10, "24h": 60 };

/** @type {any} */
let state = null;
/** @type {any} */
let tiles = null;
let seconds = 0;

const chosen = () => (Object.hasOwn(TILES_EVERY, view().window ?? "") ? view().window : "5m");

function drawState() {
  set(at("verdict"), "data-state", state.verdict.state);
  say(at("verdict"), state.verdict.state);
  drawFindings(state);
  drawTraces(state.traces);
  drawCache(state.cache, state.findings ?? []);
  drawJobs(state.jobs, now());
  drawLastRun(state.last_run);
  drawHistory(state.history);
  drawDependencies(state.dependencies);
  drawSecrets(state);
  drawLevels(state, change);
  drawSampling(state.sampling);
  drawConfiguration(state.configuration);
  drawCardinality(state.cardinality);
  at("lines").hidden = !state.log_levels;
  at("routes").hidden = !state.metrics;
}

/** Clock of the service in its last response, as the browser's may differ. */
let ahead = 0;
const now = () => Date.now() + ahead;

/** Ignores failures, which show as the age of the data. @param {Promise<unknown>} work */
const quietly = (work) => work.catch(() => {});

/** Requested documents, and parts that arrived meanwhile, which may be newer. */
let asking = 0;
/** @type {any[]} */
let meanwhile = [];

async function refreshState() {
  const of = run;
  asking += 1;
  try {
    const fresh = await ask("/api/state");
    if (of !== run) return;
    state = Object.assign(fresh, ...meanwhile);
    ahead = fresh.generated_at - Date.now();
    drawState();
  } finally {
    asking -= 1;
    if (!asking) meanwhile = [];
  }
}

/** @param {any} parts */
function onParts(parts) {
  if (asking) meanwhile.push(parts);
  if (!state) return;
  Object.assign(state, parts);
  drawState();
}

async function refreshTiles() {
  const window = chosen();
  const fresh = await ask(`/api/tiles?window=${window}`);
  if (window !== chosen()) return;
  tiles = fresh;
  drawTiles(tiles, state?.process_start ?? 0, now());
  await fillPast(fresh, state?.process_start ?? 0, now());
  if (tiles === fresh) drawTiles(tiles, state?.process_start ?? 0, now());
}

async function refreshRoutes() {
  const window = chosen();
  const routes = await ask(`/api/routes?window=${window}`);
  if (window === chosen()) drawRoutes(routes);
}

/** Scrolls to the named finding, or to the section if the finding has ended. @param {Record<string, string>} view */
function show({ finding, section }) {
  const found = finding ? at(`finding-${finding}`) : null;
  if (found) found.scrollIntoView({ block: "center" });
  else if (section) at(section)?.scrollIntoView();
  if (finding && !found && state) announce(`the finding ${finding} is not active`);
}

/** Shows the rest of the page after the findings, so that nothing moves while it is read. */
function showAll() {
  if (!document.body.classList.contains("loading")) return;
  document.body.classList.remove("loading");
  const now = view();
  // the view was applied while everything except the findings was hidden
  if (now.trace && !now.finding && !now.section) at("trace").scrollIntoView();
  else show(now);
}

/** Number of resets, and the one whose documents are complete: until then they are requested again, with growing pauses. */
let run = 0, loaded = 0;
let failures = 0, retryAt = Infinity;

async function load() {
  const of = run;
  retryAt = Infinity;
  /** @type {unknown} */
  let failed = null;
  try {
    await refreshState();
    if (of === run && state.metrics) await Promise.all([refreshTiles(), refreshRoutes()]);
  } catch (error) {
    failed = error;
  }
  if (of !== run) return;
  if (failed === null) {
    loaded = run;
  } else {
    failures += 1;
    retryAt = seconds + Math.min(2 ** failures, RETRY_MAX);
    say(at("missing"), `Not loaded, retrying: ${failed instanceof Error ? failed.message : failed}`);
  }
  at("missing").hidden = failed === null;
  showAll();
}

function refreshAll() {
  run += 1;
  failures = 0;
  meanwhile = [];
  forgetLines();
  void load();
  void refreshLines();
  void refreshTraces();
}

/** @param {any} tick */
function onTick(tick) {
  seconds += 1;
  ahead = tick.at - Date.now();
  if (isMoving(state?.jobs) && !document.hidden) drawJobs(state.jobs, now());
  say(at("uptime"), span(tick.uptime_seconds));
  say(at("answered"), `answered ${new Date(tick.at).toLocaleTimeString([], { hour12: false })}`);
  if (seconds >= retryAt) void load();
  if (loaded !== run || !tiles || document.hidden || !tick.points) return;
  if (!append(tiles, tick) || seconds % TILES_EVERY[chosen()] === 0) void quietly(refreshTiles());
  else if (tiles.window === "5m") drawTiles(tiles, state?.process_start ?? 0, now());
  if (seconds % ROUTES_EVERY === 0) {
    void quietly(refreshRoutes());
    if (view().status || view().route || view().min_ms) void refreshTraces();
  }
  if (seconds % ALL_EVERY === 0) void quietly(refreshState());
}

/** @param {string} path @param {Record<string, unknown>} what */
async function change(path, what) {
  const answer = await act(path, what);
  announce(answer);
  await quietly(refreshState());
  return answer;
}

function startForms() {
  for (const form of document.querySelectorAll("form.action")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const { by, what, ...asked } = Object.fromEntries(new FormData(/** @type {HTMLFormElement} */ (form)));
      /** @type {Record<string, unknown>} */
      const sent = { ...asked };
      for (const name of ["who", "ttl_seconds"]) if (sent[name] === "") delete sent[name];
      if (sent.ttl_seconds) sent.ttl_seconds = Number(sent.ttl_seconds);
      if (sent.ratio) sent.ratio = Number(sent.ratio);
      if (by) sent[String(by)] = what;
      say(form.querySelector("output"), await change(String(/** @type {any} */ (form).dataset.action), sent));
    });
  }
  at("sampling-revert").addEventListener("click", () => change("/api/sampling/revert", {}));
  at("window").addEventListener("change", (/** @type {any} */ event) => go({ window: event.target.value === "5m" ? null : event.target.value }));
}

/** Copies the request as a shell command. */
function startCurl() {
  document.addEventListener("click", async (event) => {
    const button = /** @type {any} */ (event.target).closest?.("[data-curl]");
    if (!button) return;
    const command = `curl -s '${location.origin}${button.dataset.curl.replaceAll("'", "%27")}'`;
    try {
      await navigator.clipboard.writeText(command);
      announce(`copied: ${command}`);
      say(button, "copied");
    } catch {
      // no clipboard without a secure origin: the command is shown
      say(button, command);
    }
    setTimeout(() => say(button, "copy as curl"), 4000);
  });
}

/** Links to a section keep the rest of the view. */
function startNav() {
  at("nav").addEventListener("click", (/** @type {any} */ event) => {
    const section = new URLSearchParams(event.target.hash?.slice(1)).get("section");
    if (!section) return;
    event.preventDefault();
    go({ section });
    at(section)?.scrollIntoView();
  });
}

let shownWindow = "";
let shownPlace = "";

onView((now) => {
  const window = chosen();
  const radio = /** @type {any} */ (document.querySelector(`#window [value="${window}"]`));
  radio.checked = true;
  say(at("routes-window"), `last ${radio.parentElement.textContent.trim()}`);
  set(at("routes").querySelector(".curl"), "data-curl", `/api/routes?window=${window}`);
  if (window !== shownWindow && shownWindow) {
    void quietly(refreshTiles());
    void quietly(refreshRoutes());
  }
  shownWindow = String(window);
  showTraces(now);
  showLines(now);
  const place = `${now.finding ?? ""} ${now.section ?? ""}`;
  if (place !== shownPlace) show(now);
  shownPlace = place;
});

watchAge((age) => {
  document.body.classList.toggle("stale", age !== null);
  at("stale").hidden = age === null;
  if (age !== null) {
    say(at("stale"), `No response: the last answer came ${span(age)} ago. The data shown is from that time.`);
    say(at("answered"), `last answer ${span(age)} ago`);
  }
});
startForms();
startCurl();
startNav();
startTraces();
startLines();
startHistory();
notify();
// nothing is drawn while the page is hidden
document.addEventListener("visibilitychange", () => {
  if (document.hidden || !tiles) return;
  void quietly(refreshTiles());
  void quietly(refreshRoutes());
});
listen({
  reset: refreshAll,
  tick: onTick,
  lines: addLines,
  state: onParts,
});
