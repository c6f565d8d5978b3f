// Numbers and names in words, and the few ways to make elements: text is always set as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function element(tag, attributes = {}, ...children) {
  const made = attributes.svg ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "svg" || value === null || value === undefined) continue;
    if (name === "onclick") made.addEventListener("click", value);
    else if (name === "text") made.textContent = value;
    else made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const drawn = (tag, attributes, ...children) => element(tag, { ...attributes, svg: true }, ...children);

function filled(text, ...values) {
  return text.replace(/\{(\d)\}/g, (_whole, i) => values[Number(i)]);
}

const number = (value) => value.toLocaleString("en-US");
const hex = (value) => `0x${value.toString(16)}`;

function sizeText(value) {
  if (Math.abs(value) < 1024) return filled(value === 1 ? TEXT.one_byte : TEXT.bytes, number(value));
  const power = Math.min(Math.floor(Math.log2(Math.abs(value)) / 10), 6);
  const unit = 1024 ** power;
  const figure = value % unit === 0 ? String(value / unit) : (value / unit).toFixed(1);
  return `${figure} ${["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][power - 1]}`;
}

function timeText(ns) {
  if (ns < 1e6) return `${(ns / 1e3).toFixed(1)} µs`;
  return ns < 1e9 ? `${(ns / 1e6).toFixed(3)} ms` : `${(ns / 1e9).toFixed(3)} s`;
}

const baseName = (path) => path.slice(path.lastIndexOf("/") + 1);

/** A region's name for its reader. */
function regionName(region) {
  if (region.kind === "heap") return TEXT.heap;
  if (region.kind === "stack") return TEXT.stack;
  if (region.kind === "program") return `${baseName(region.name)} ${TEXT.parts[region.protection] || ""}`.trim();
  if (region.kind === "kernel") return region.name.replace(/[[\]]/g, "");
  if (region.kind === "file") return baseName(region.name);
  if (region.kind === "mapped" && region.protection === "---") return `${region.name || TEXT.mapped_region} (${TEXT.reserved})`;
  return region.name ? `${TEXT.mapped_region} ${region.name}` : TEXT.anonymous;
}

/** A button that leads to event n, where the page has it. */
function eventLink(n) {
  const i = momentOf(n);
  const label = filled(TEXT.event_n, number(n));
  return i < 0 ? element("span", { text: label }) : element("button", { type: "button", class: "link", text: label, onclick: () => go(i) });
}
