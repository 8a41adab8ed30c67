// Nodes are reused while their content changes: selection, focus, scroll position and opened parts are kept.
// @ts-check

/** @param {string} id @returns {any} */
export const at = (id) => document.getElementById(id);

/**
 * Creates an element. Texts are set as text, never as markup.
 * @param {string} name @param {Record<string, any> | null} [props] @param {...any} children @returns {any}
 */
export function el(name, props, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "class") node.className = value;
    else if (key === "on") for (const [event, call] of Object.entries(value)) node.addEventListener(event, /** @type {any} */ (call));
    else node.setAttribute(key, value === true ? "" : String(value));
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** @param {string} name @param {Record<string, any>} attributes @param {...any} children @returns {any} */
export function svg(name, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  node.append(...children);
  return node;
}

/** Sets a text only if it changed, to keep the selection in it. @param {any} node @param {any} text */
export function say(node, text) {
  const wanted = text === null || text === undefined ? "" : String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

/** @param {any} node @param {string} name @param {any} value */
export function set(node, name, value) {
  const wanted = String(value);
  if (node.getAttribute(name) !== wanted) node.setAttribute(name, wanted);
}

/** @param {Node} node */
const isSelected = (node) => {
  const selection = document.getSelection();
  return !!selection && !selection.isCollapsed && selection.rangeCount > 0 && selection.containsNode(node, true);
};

/** @type {Map<Node, () => void>} */
const waiting = new Map();

/** Draws a part once nothing in it is selected. @param {any} node @param {() => void} draw */
export function draw(node, draw) {
  if (isSelected(node)) {
    waiting.set(node, draw);
    return;
  }
  waiting.delete(node);
  draw();
}

document.addEventListener("selectionchange", () => {
  for (const [node, draw] of [...waiting]) {
    if (isSelected(node)) continue;
    waiting.delete(node);
    draw();
  }
});

/** Returns true while the reader interacts with it. @param {any} node */
export const isHeld = (node) => isSelected(node) || (node.contains(document.activeElement) && node !== document.activeElement);

/** Removes a node; a focused one is marked, and removed when it loses the focus. @param {any} node */
function leave(node) {
  if (!node.contains(document.activeElement)) return node.remove();
  if (node.classList.contains("gone")) return;
  node.classList.add("gone");
  node.addEventListener("focusout", function out(/** @type {FocusEvent} */ event) {
    if (node.contains(/** @type {any} */ (event.relatedTarget))) return;
    node.removeEventListener("focusout", out);
    if (node.classList.contains("gone")) node.remove();
  });
}

/**
 * Updates the children of a node to match the items by key. A focused node is not moved, and removed when it loses the focus.
 * @template T
 * @param {any} parent @param {T[]} items @param {(item: T) => string} keyOf @param {(item: T) => any} make @param {(node: any, item: T) => void} fill
 */
export function keyed(parent, items, keyOf, make, fill) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = new Map(items.map((item) => [keyOf(item), item]));
  for (const [key, node] of known) if (!wanted.has(key)) leave(node);
  let place = parent.firstElementChild;
  for (const [key, item] of wanted) {
    let node = known.get(key);
    if (!node) {
      node = make(item);
      node.dataset.key = key;
    }
    node.classList.remove("gone");
    fill(node, item);
    if (node === place) {
      place = place.nextElementSibling;
    } else if (!node.contains(document.activeElement)) {
      parent.insertBefore(node, place);
    }
  }
}

/**
 * @typedef {{ name: string, num?: boolean, key?: boolean, value?: (row: any) => any, cell?: (td: any, row: any) => void }} Column
 * Fills a table, reusing its rows; without rows it shows a message.
 * @param {any} table @param {string} caption @param {Column[]} columns @param {any[]} rows @param {(row: any) => string} keyOf @param {string} [empty]
 */
export function fillTable(table, caption, columns, rows, keyOf, empty = "none") {
  draw(table, () => {
    if (!table.tBodies.length) {
      const heads = columns.map((column) => el("th", { scope: "col", class: column.num ? "num" : null }, column.name));
      table.append(el("caption", { class: "hidden" }, caption), el("thead", null, el("tr", null, ...heads)), el("tbody"));
    }
    const body = table.tBodies[0];
    if (!rows.length) {
      keyed(body, [empty], () => "empty", () => el("tr", null, el("td", { colspan: columns.length, class: "dim" })), (tr, text) => say(tr.cells[0], text));
      return;
    }
    const make = () => el("tr", null, ...columns.map((column) => el("td", { class: column.num ? "num" : column.key ? "key" : null })));
    keyed(body, rows, keyOf, make, (tr, row) => columns.forEach((column, index) => {
      const td = tr.cells[index];
      if (column.cell) column.cell(td, row);
      else say(td, column.value?.(row));
    }));
  });
}

/** Sets a link in a cell, reusing its node. @param {any} td @param {string | null} href @param {string} text */
export function link(td, href, text) {
  let a = td.firstElementChild;
  if (!href) return say(td, text);
  if (!a) {
    td.textContent = "";
    a = el("a");
    td.append(a);
  }
  set(a, "href", href);
  say(a, text);
}

const plain = (/** @type {number} */ value) => (Math.abs(value) >= 100 ? value.toFixed(0) : String(Number(value.toPrecision(3))));

/** Formats a percentage; only exactly 1 is shown as 100. @param {number} ratio */
const percent = (ratio) => (ratio < 1 && ratio >= 0.9995 ? (Math.floor(ratio * 10_000) / 100).toFixed(2) : plain(ratio * 100));

/** @param {number | null | undefined} value @param {string} [unit] */
export function number(value, unit = "") {
  if (value === null || value === undefined) return "–";
  if (unit === "s") return time(value * 1e6);
  if (unit === "B") return bytes(value);
  if (unit === "ratio") return `${percent(value)} %`;
  return unit ? `${plain(value)} ${unit === "1/s" ? "/s" : unit}` : plain(value);
}

/** @param {number} us */
export function time(us) {
  if (us >= 1e6) return `${plain(us / 1e6)} s`;
  return us >= 1e3 ? `${plain(us / 1e3)} ms` : `${plain(us)} µs`;
}

/** @param {number | null | undefined} count */
export function bytes(count) {
  if (count === null || count === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) [count, at] = [count / 1024, at + 1];
  return `${plain(count)} ${units[at]}`;
}

/** @param {number | null | undefined} seconds */
export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const found = [];
  let left = Math.max(0, Math.round(seconds));
  for (const [unit, length] of parts) {
    if (left < Number(length) && !(unit === "s" && !found.length)) continue;
    found.push(`${Math.floor(left / Number(length))} ${unit}`);
    left %= Number(length);
  }
  return found.slice(0, 2).join(" ");
}

/** Formats local time, with the date unless it is today's. @param {number} ms @param {1 | 2 | 3} [digits] of a second */
export function clock(ms, digits) {
  const moment = new Date(ms);
  const text = moment.toLocaleTimeString([], { hourCycle: "h23", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: digits });
  return moment.toDateString() === new Date().toDateString() ? text : `${moment.toLocaleDateString([])} ${text}`;
}

let clearing = 0;

/** Shows a message for a while. @param {string} text */
export function announce(text) {
  say(at("said"), text);
  clearTimeout(clearing);
  clearing = setTimeout(() => say(at("said"), ""), 10_000);
}
