// Lists and tables: findings, routes, caches, dependencies, secrets, levels, settings, cardinality.
// @ts-check
import { address } from "./address.js";
import { at, bytes, clock, draw, el, fillTable, keyed, link, number, say, set, span, svg, time } from "./dom.js";

/** @typedef {{ id: string, severity: string, title: string, seen: string, since: number, means: string, action: string, runbook: string | null, explained_by: string | null, route?: string | null, trace_id?: string | null }} Finding */

const FACTS = [["seen", "seen"], ["means", "means"], ["do", "action"]];

/** @param {Finding} finding */
function makeFinding(finding) {
  const facts = FACTS.map(() => el("p"));
  return el("li", { id: `finding-${finding.id}` }, el("p", null, el("b"), " ", el("span", { class: "dim" })), ...facts, el("p", { class: "more" }), el("ol", { class: "plain" }));
}

/** @param {any} node @param {Finding} finding @param {Map<string, Finding[]>} explained */
function fillFinding(node, finding, explained) {
  set(node, "class", `finding ${finding.severity}`);
  const [head, ...rest] = node.children;
  say(head.children[0], `${finding.severity}: ${finding.title}`);
  say(head.children[1], `since ${clock(finding.since)}${finding.explained_by ? ` · explained by ${finding.explained_by}` : ""}`);
  FACTS.forEach(([name, key], index) => {
    const text = /** @type {any} */ (finding)[key];
    rest[index].hidden = !text;
    say(rest[index], `${name}: ${text}`);
  });
  const links = [
    finding.route ? { href: address({ route: finding.route, trace: null }), text: `traces of ${finding.route}` } : null,
    finding.trace_id ? { href: address({ trace: finding.trace_id }), text: "example trace" } : null,
    finding.runbook ? { href: /^https?:\/\//.test(finding.runbook) ? finding.runbook : null, text: `runbook ${finding.runbook}` } : null,
    { href: address({ finding: finding.id }), text: "link to this finding" },
  ].filter((known) => known !== null);
  const more = rest[FACTS.length];
  keyed(more, links, (one) => one.text, () => el("a", { class: "mono" }), (a, one) => {
    // a path in the repository is not reachable from here
    if (one.href) set(a, "href", one.href);
    set(a, "rel", "noreferrer");
    say(a, one.text);
  });
  keyed(rest[FACTS.length + 1], explained.get(finding.id) ?? [], (other) => other.id, makeFinding, (child, other) => fillFinding(child, other, explained));
}

/** Returns causes and the findings that each explains. Every finding has one place, even in a cycle of explanations. @param {Finding[]} all */
function placed(all) {
  const ids = new Set(all.map((finding) => finding.id));
  /** @type {Map<string, Finding[]>} */
  const explained = new Map();
  const take = (/** @type {Finding} */ finding) => {
    if (explained.has(finding.id)) return false;
    explained.set(finding.id, []);
    explained.set(finding.id, all.filter((other) => other.explained_by === finding.id && take(other)));
    return true;
  };
  const causes = all.filter((finding) => (!finding.explained_by || !ids.has(finding.explained_by)) && take(finding));
  return { causes: [...causes, ...all.filter(take)], explained };
}

/** Draws causes first, with the findings that they explain beneath. @param {any} state */
export function drawFindings(state) {
  /** @type {Finding[]} */
  const all = state.findings ?? [];
  const { causes, explained } = placed(all);
  const place = at("findings");
  draw(place, () => keyed(place, causes, (finding) => finding.id, makeFinding, (node, finding) => fillFinding(node, finding, explained)));
  const titles = new Set(all.map((finding) => finding.title));
  const reasons = state.verdict.reasons.filter((/** @type {string} */ reason) => !titles.has(reason));
  const list = at("reasons");
  list.hidden = !reasons.length;
  draw(list, () => keyed(list, reasons, (/** @type {string} */ reason) => reason, () => el("li", { class: "bad" }), say));
}

/** @param {any[]} routes */
export function drawRoutes(routes) {
  const name = (/** @type {any} */ route) => `${route.method} ${route.route}`;
  fillTable(at("routes-t"), "Requests by route", [
    { name: "route", cell: (td, route) => link(td, address({ route: name(route), status: null, trace: null }), name(route)) },
    { name: "per second", num: true, value: (route) => number(route.per_second) },
    { name: "p50", num: true, value: (route) => number(route.p50_seconds, "s") },
    { name: "p95", num: true, value: (route) => number(route.p95_seconds, "s") },
    { name: "p99", num: true, value: (route) => number(route.p99_seconds, "s") },
    { name: "requests", num: true, value: (route) => route.requests },
    { name: "errors", num: true, cell: (td, route) => { say(td, route.errors); td.classList.toggle("bad", route.errors > 0); } },
    { name: "4xx", num: true, value: (route) => route.client_errors },
    { name: "slowest trace", cell: (td, route) => link(td, route.slowest ? address({ trace: route.slowest.trace_id }) : null, route.slowest ? time(route.slowest.duration_us) : "–") },
  ], routes, name, "no requests in this window");
}

/** @param {any} svgNode @param {number} share */
const fillMeter = (svgNode, share) => set(svgNode.lastElementChild, "width", (Math.min(Math.max(share, 0), 1) * 100).toFixed(1));
const meter = (/** @type {string} */ label) => svg("svg", { class: "meter", viewBox: "0 0 100 10", preserveAspectRatio: "none", role: "img", "aria-label": label },
  svg("rect", { width: 100, height: 10 }), svg("rect", { class: "full", width: 0, height: 10 }));

/** @type {Record<string, string>} */
const BUCKET = { answers: "available", unreachable: "not responding", read_only: "available, rejects writes", without_conditions: "available, ignores conditional writes" };

/** @param {any} shared @param {Finding[]} findings */
function bucketFacts(shared, findings) {
  if (!shared) return [];
  const since = findings.find((finding) => finding.id === "shared_store_unreachable")?.since;
  const state = `${BUCKET[shared.state] ?? shared.state}${shared.state === "unreachable" && since ? ` since ${clock(since)}` : ""}`;
  return [
    ["shared bucket", state], ["shared hits", `${shared.hits} of ${shared.hits + shared.misses} lookups`],
    ["shared lookups skipped", `${shared.skipped} unavailable, ${shared.quick} quick, ${shared.without_content} without content id`],
    ["shared faults", `${shared.failed} failed, ${shared.refused} refused, ${shared.expired} expired`],
    ["shared writes", `${shared.written} written, ${shared.dropped} dropped`],
  ];
}

/** @param {any} cache @param {Finding[]} findings */
export function drawCache(cache, findings) {
  at("cache").hidden = !cache;
  if (!cache) return;
  const limited = (/** @type {number} */ size, /** @type {number | null} */ limit) => (limit ? `${bytes(size)} of ${bytes(limit)}` : bytes(size));
  const facts = [
    ["hit ratio", cache.hits + cache.misses ? number(cache.hit_ratio, "ratio") : "no lookups yet"], ["hits", `${cache.hits} (memory ${cache.memory_hits}, files ${cache.disk_hits})`],
    ["misses", cache.misses], ["bypassed", cache.bypasses], ["entries", cache.entries],
    ["files", limited(cache.total_size_bytes, cache.size_limit_bytes), cache.size_limit_bytes && cache.total_size_bytes / cache.size_limit_bytes],
    ["memory", limited(cache.memory_bytes, cache.memory_limit_bytes), cache.memory_limit_bytes && cache.memory_bytes / cache.memory_limit_bytes],
    ["removed", `${cache.evicted_size} evicted, ${cache.evicted_expired} expired, ${cache.evicted_invalidated} invalidated`],
    ["time saved", span(cache.compute_saved_seconds)], ["not stored", cache.not_stored], ["damaged", cache.corrupt],
    ...bucketFacts(cache.shared, findings),
  ];
  const list = at("cache-d");
  const make = (/** @type {any[]} */ fact) => el("div", null, el("dt", null, fact[0]), el("dd", null, el("span"), fact[2] === undefined ? null : meter(`${fact[0]} of its limit`)));
  draw(list, () => keyed(list, facts, (fact) => String(fact[0]), make, (node, fact) => {
    say(node.lastElementChild.firstElementChild, fact[1]);
    if (node.lastElementChild.children[1]) fillMeter(node.lastElementChild.children[1], Number(fact[2] ?? 0));
  }));
  fillTable(at("cache-t"), "Entries with the most hits", [
    { name: "query", cell: (td, entry) => code(td, entry.query) }, { name: "hits", num: true, value: (entry) => entry.hits },
    { name: "size", num: true, value: (entry) => bytes(entry.bytes) }, { name: "age", num: true, value: (entry) => span(entry.age_seconds) },
  ], numbered(cache.top), (entry) => `${entry.at} ${entry.query}`, "no entries yet");
  fillTable(at("invalidations-t"), "Past invalidations", [
    { name: "time", key: true, value: (one) => clock(one.at) }, { name: "pattern", cell: (td, one) => code(td, one.pattern) }, { name: "removed", num: true, value: (one) => one.removed },
  ], numbered(cache.invalidations), (one) => `${one.at} ${one.pattern}`);
}

/** Distinguishes rows with the same text by their position. @param {any[]} rows */
const numbered = (rows) => rows.map((row, index) => ({ at: index, ...row }));

/** @param {any} td @param {string} text */
function code(td, text) {
  if (!td.firstElementChild) td.append(el("code"));
  say(td.firstElementChild, text);
}

/** @param {any[]} dependencies */
export function drawDependencies(dependencies) {
  /** @type {Record<string, string>} */
  const classes = { up: "good", degraded: "warn", down: "bad" };
  fillTable(at("dependencies-t"), "Dependencies", [
    { name: "name", value: (one) => one.name },
    { name: "state", key: true, cell: (td, one) => { say(td, one.state); td.className = `key ${classes[one.state] ?? "dim"}`; } },
    { name: "detail", value: (one) => one.detail },
  ], numbered(dependencies), (one) => `${one.at} ${one.name}`, "no known dependencies");
}

/** @param {any} state */
export function drawSecrets(state) {
  at("secrets").hidden = !state.secrets;
  if (!state.secrets) return;
  const from = state.secret_sources;
  say(at("secrets-from"), `catalog ${from.catalog} · AWS ${from.aws} · ${from.dotenv.path} ${from.dotenv.present ? "present" : "absent"}`);
  fillTable(at("secrets-t"), "Secrets, without values", [
    { name: "name", key: true, value: (one) => one.name },
    { name: "source", key: true, value: (one) => (one.present ? one.source : one.required ? "missing" : "not set") },
    { name: "required", value: (one) => (one.required ? "yes" : "no") },
    { name: "age", num: true, value: (one) => span(one.age_seconds) }, { name: "refresh in", num: true, value: (one) => span(one.next_refresh_seconds) },
    { name: "variable", key: true, value: (one) => one.env_var },
    { name: "notes", value: (one) => [one.last_error && `${one.last_error}: ${one.last_error_detail ?? ""}`, one.not_asked_yet && "not looked up yet", ...one.problems].filter(Boolean).join("; ") },
  ], state.secrets, (one) => one.name, "the catalog is empty");
}

/** @param {any} state @param {(path: string, change: Record<string, unknown>) => void} act */
export function drawLevels(state, act) {
  at("levels").hidden = !state.levels;
  if (!state.levels) return;
  fillTable(at("levels-t"), "Effective levels", [
    { name: "target", cell: (td, rule) => say(td, rule.target || "everything") }, { name: "level", key: true, value: (rule) => rule.level ?? "off" },
    { name: "until", key: true, value: (rule) => (rule.remaining_seconds === null ? "configured" : `${span(rule.remaining_seconds)} left`) },
    { name: "who", value: (rule) => rule.who }, { name: "why", value: (rule) => rule.why },
    { name: "change", cell: (td, rule) => {
      if (!td.firstElementChild) td.append(el("button", { type: "button", on: { click: () => {
        // the row is removed with the change
        td.closest("[tabindex]")?.focus({ preventScroll: true });
        act("/api/level/revert", { target: td.dataset.target });
      } } }, "Revert"));
      td.dataset.target = rule.target;
      td.firstElementChild.hidden = rule.remaining_seconds === null;
      set(td.firstElementChild, "aria-label", `Revert the level of ${rule.target || "everything"}`);
    } },
  ], state.levels, (rule) => rule.target);
}

/** @param {any} sampling */
export function drawSampling(sampling) {
  at("sampling").hidden = !sampling;
  if (!sampling) return;
  const until = sampling.remaining_seconds === null ? "" : ` for ${span(sampling.remaining_seconds)} more, then ${number(sampling.configured, "ratio")} (${sampling.who ?? "unknown"}: ${sampling.why ?? ""})`;
  const text = `${number(sampling.ratio, "ratio")} of new traces are sampled${until}.`;
  draw(at("sampling-now"), () => say(at("sampling-now"), text));
  at("sampling-revert").hidden = sampling.remaining_seconds === null;
}

/** @param {any[]} settings */
export function drawConfiguration(settings) {
  fillTable(at("configuration-t"), "Effective configuration", [
    { name: "setting", key: true, value: (one) => one.name }, { name: "value", cell: (td, one) => code(td, one.value) }, { name: "source", value: (one) => one.source },
  ], settings, (one) => one.name, "this service reports no settings");
}

/** @param {any[] | undefined} sizes */
export function drawCardinality(sizes) {
  at("cardinality").hidden = !sizes;
  if (!sizes) return;
  const labels = (/** @type {any} */ size) => size.labels.map((/** @type {any} */ one) => `${one.label} ${one.values}/${one.values_max}${one.refused ? `, ${one.refused} rejected (${one.examples.join(", ")})` : ""}`).join(" · ");
  fillTable(at("cardinality-t"), "Series of each metric", [
    { name: "metric", value: (size) => size.metric }, { name: "series", num: true, value: (size) => size.series }, { name: "limit", num: true, value: (size) => size.series_max },
    { name: "labels: values/limit", value: labels },
  ], sizes, (size) => [size.metric, ...size.labels.map((/** @type {any} */ one) => one.label)].join(" "), "no series yet");
}
