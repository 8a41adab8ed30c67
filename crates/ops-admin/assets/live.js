// Data from the server, and the time since it last arrived.
// @ts-check

/** Timeout of a response in milliseconds, after which the page reports that there is none. */
const PATIENCE = 5000, QUIET = 3500, LOST = 15000, RETRY = 3000;
/** Milliseconds after which a hidden page closes its stream. */
const HIDDEN = 5000;

/** Keeps integers that a float cannot represent as text. @type {any} */
const exact = (/** @type {string} */ _, /** @type {any} */ value, /** @type {any} */ context) => (Number.isInteger(value) && !Number.isSafeInteger(value) ? (context?.source ?? value) : value);

/** @param {Response} response @returns {Promise<any>} */
async function read(response) {
  const text = await response.text();
  if (!response.ok) throw new Error(text.trim() || `status ${response.status}`);
  heard();
  return JSON.parse(text, exact);
}

/** Requests a document, with a timeout. @param {string} path @param {number} [patience] @returns {Promise<any>} */
export async function ask(path, patience = PATIENCE) {
  return read(await fetch(path, { signal: AbortSignal.timeout(patience), headers: { accept: "application/json" } }));
}

const CHANGE = { "content-type": "application/json", "x-ops-admin": "1" };

/** Sends a query, and returns its document. @param {string} path @param {Record<string, unknown>} question @param {number} patience @returns {Promise<any>} */
export async function send(path, question, patience) {
  return read(await fetch(path, { method: "POST", headers: CHANGE, body: JSON.stringify(question), signal: AbortSignal.timeout(patience) }));
}

/** Requests a change, and returns the outcome as text. @param {string} path @param {Record<string, unknown>} change @returns {Promise<string>} */
export async function act(path, change) {
  try {
    const response = await fetch(path, { method: "POST", headers: CHANGE, body: JSON.stringify(change), signal: AbortSignal.timeout(2 * PATIENCE) });
    return (await response.text()).trim();
  } catch (error) {
    return `no response: ${error instanceof Error ? error.message : error}`;
  }
}

let last = Date.now();
/** @type {(seconds: number | null) => void} */
let onAge = () => {};

function heard() {
  last = Date.now();
  onAge(null);
}

/** Calls with the seconds since the last response while there is none, and with `null` once one arrives. @param {(seconds: number | null) => void} call */
export function watchAge(call) {
  onAge = call;
  setInterval(() => {
    const age = Date.now() - last;
    if (age > QUIET) call(Math.round(age / 1000));
  }, 500);
}

/**
 * Reads events; the browser resumes with the id of the last one. A rejected or silent stream is reopened.
 * @param {Record<string, (data: any) => void>} events
 */
export function listen(events) {
  /** @type {EventSource} */
  let source;
  let since = 0;
  const open = () => {
    source?.close();
    since = Date.now();
    source = new EventSource("/api/stream");
    for (const [name, call] of Object.entries(events)) {
      source.addEventListener(name, (event) => {
        heard();
        call(JSON.parse(/** @type {MessageEvent} */ (event).data));
      });
    }
  };
  open();
  // a browser has six connections per host, and each stream takes one: hidden pages release theirs
  let closing = 0;
  let isGivenUp = false;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(closing);
    if (document.hidden) {
      closing = setTimeout(() => {
        isGivenUp = true;
        source.close();
      }, HIDDEN);
    } else if (isGivenUp) {
      isGivenUp = false;
      open();
    }
  });
  setInterval(() => {
    if (isGivenUp) return;
    const now = Date.now();
    const closed = source.readyState === EventSource.CLOSED && now - since > RETRY;
    if (closed || now - Math.max(last, since) > LOST) open();
  }, 1000);
}
