// Elements, numbers and files: the few helpers that every part of the page uses.

const SVG = "http://www.w3.org/2000/svg";

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** An HTML element: `h("p", { class: "note" }, "text", child)`. */
export const h = (tag, properties = {}, ...children) =>
  fill(document.createElement(tag), properties, children);

/** An SVG element. */
export const svg = (tag, properties = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), properties, children);

/**
 * A table. `columns` are `{ title, number, wide }`: a column of numbers is aligned to the right,
 * and phones hide a wide column. Each row has a cell, text or element, for each column.
 */
export function table(caption, columns, rows) {
  const classes = ({ number, wide, kind }) =>
    [number && "number", wide && "wide", kind].filter(Boolean).join(" ") || undefined;
  const cell = (tag, content, column, properties = {}) =>
    h(tag, { class: classes(column), ...properties }, content);
  return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
    h("table", {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {},
        columns.map((column) => cell("th", column.title, column, { scope: "col" })))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((content, at) => at === 0
        ? cell("th", content, columns[at], { scope: "row" })
        : cell("td", content, columns[at])))))));
}

/** A list of facts: pairs of a word and a value. */
export const facts = (pairs) => h("dl", { class: "facts" },
  pairs.map(([word, value]) => h("div", {}, h("dt", {}, word), h("dd", {}, value))));

/** A name in code, which breaks after an underscore or a dot where the line is short. */
export const name = (text) => h("code", {},
  text.split(/(?<=[_.])/).flatMap((part) => [part, h("wbr")]));

/** A boxed sentence. `kind` is "bad" or "plain". */
export const notice = (kind, ...children) => h("p", { class: `notice ${kind}` }, ...children);

/** The sentence of an error: the library's message, or the browser's. */
export const sentence = (error) => String(error?.message ?? error);

const grouped = new Intl.NumberFormat("en");

/** An integer with separators: 12,345. */
export const count = (value) => grouped.format(Math.round(value));

/** Three significant digits, never in exponents: 0.0123, 1.23, 12.3, 1,230. */
export function short(value) {
  if (!Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return digits === 0 ? count(value) : value.toFixed(Math.min(digits, 6));
}

/** A difference: 1.5e-7, or 0. */
export function scientific(value) {
  if (value === null || value === undefined) return "–";
  return value === 0 ? "0" : value.toExponential(1);
}

/** A time in milliseconds with its unit. */
export const time = (ms) => (ms < 1000 ? `${short(ms)} ms` : `${short(ms / 1000)} s`);

/** A number of bytes with its unit. */
export function bytes(value) {
  if (value < 1024) return `${count(value)} bytes`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(Math.floor(Math.log2(value) / 10), units.length);
  return `${short(value / 1024 ** power)} ${units[power - 1]}`;
}

/** A shape as PyTorch writes it: [4, 2, 320]. */
export const shape = (sizes) => `[${sizes.join(", ")}]`;

/** A link that downloads a value as JSON. */
export function download(name, value) {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  return h("a", { href: address, download: name }, name);
}

/** A moment in which the browser can paint. Direct use computes in the page's own thread. */
export const painted = () => new Promise((done) => setTimeout(done, 0));
