// The view as an address: `#trace=…&window=1h`. Its content can be bookmarked, sent, and restored by `back`.
// @ts-check

/** Names allowed in an address. */
const NAMES = ["section", "window", "trace", "finding", "route", "status", "min_ms", "level", "text", "trace_id"];

/** @type {Array<(now: Record<string, string>) => void>} */
const listeners = [];

/** @returns {Record<string, string>} */
export function view() {
  const found = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(NAMES.flatMap((name) => (found.get(name) ? [[name, /** @type {string} */ (found.get(name))]] : [])));
}

/** Returns the address of this view with changes; an empty value removes a name. A link leads to one section. @param {Record<string, string | null | undefined>} changes */
export function address(changes) {
  const next = new URLSearchParams();
  for (const [name, value] of Object.entries({ ...view(), section: null, ...changes })) if (value) next.set(name, value);
  return `#${next}`;
}

/** Opens a view; typing replaces the address, so that `back` leads to the previous view. @param {Record<string, string | null | undefined>} changes @param {boolean} [typed] */
export function go(changes, typed = false) {
  const next = address(changes);
  if (typed) history.replaceState(null, "", next);
  else if (next !== location.hash) history.pushState(null, "", next);
  notify();
}

/** @param {(now: Record<string, string>) => void} call */
export function onView(call) {
  listeners.push(call);
}

export function notify() {
  const now = view();
  for (const call of listeners) call(now);
}

addEventListener("hashchange", notify);
addEventListener("popstate", notify);
