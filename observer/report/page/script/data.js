// The run's data, read back from columns: see packed.py for how numbers are written, columns.py and memory.py for what.

const DATA = JSON.parse(document.getElementById("data").textContent);
const TEXT = DATA.text;
const KINDS = ["call", "syscall", "fault", "signal", "process", "library", "lost"];
const KINDS_OF_REGION = ["program", "heap", "mapped", "file", "stack", "kernel"];
const TOUCHERS = ["program", "allocator", "libc", "loader", "kernel", "unknown"];
const HOW = ["own", "zero", "shared"];
const HOLE = "\u0001";

function unpacked(text, rising) {
  const bytes = atob(text);
  const length = bytes.length;
  const values = [];
  let last = 0;
  for (let i = 0; i < length;) {
    let word = 0, scale = 1, byte;
    do {
      byte = bytes.charCodeAt(i++);
      word += (byte & 127) * scale;
      scale *= 128;
    } while (byte > 127);
    const value = word % 2 ? -(word + 1) / 2 : word / 2;
    last = rising ? last + value : value;
    values.push(last);
  }
  return values;
}

function readColumns(columns, rising) {
  const found = {};
  for (const name of Object.keys(columns)) {
    if (typeof columns[name] === "string") found[name] = unpacked(columns[name], rising.includes(name));
  }
  return found;
}

const EVENTS = readColumns(DATA.events.columns, ["n", "t", "at"]);
const TABLES = DATA.events.tables;
const SITES = DATA.sites;
const COUNT = EVENTS.n.length;
const NUMBERS = DATA.events.numbers.split("\n");
const PROCESSES = DATA.processes.map((process) => ({
  pid: process.pid,
  number: process.number,
  path: process.path,
  pieces: readColumns(process.pieces, ["start"]),
  rooms: readColumns(process.rooms, ["start"]),
  pages: readColumns(process.pages, ["start"]),
  regions: { ...readColumns(process.regions, ["start"]), names: process.regions.names, protections: process.regions.protections },
  levels: readColumns(process.levels, ["at"]),
}));
const PAGE = DATA.page_size;
const CHAINS = readColumns(DATA.events.chains, ["ends"]);

/** The index of the first element of a rising array that is not below value. */
function lowerBound(array, value) {
  let low = 0, high = array.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (array[middle] < value) low = middle + 1; else high = middle;
  }
  return low;
}

/** The moment of event n; -1 where the page does not have it. */
function momentOf(n) {
  const i = lowerBound(EVENTS.n, n);
  return i < COUNT && EVENTS.n[i] === n ? i : -1;
}

/** The event's sentence, put together from its words and its numbers. */
function sentenceOf(i) {
  const numbers = NUMBERS[i] ? NUMBERS[i].split("\t") : [];
  let at = 0;
  return TABLES.told[EVENTS.told[i]].split(HOLE).reduce((text, words) => text + numbers[at++] + words);
}

const kindOf = (i) => KINDS[EVENTS.kind[i]];
const stepOf = (i) => TABLES.step[EVENTS.step[i]];
const ringOf = (i) => TABLES.ring[EVENTS.ring[i]];
const siteOf = (i) => (EVENTS.site[i] < 0 ? null : SITES[EVENTS.site[i]]);

/** The places of those who called the allocator's function in which event i lies, the innermost first; a last -1: and others. */
function callersOf(i) {
  const call = callOf(i), k = call < 0 ? -1 : EVENTS.stack[call];
  return k < 0 ? [] : CHAINS.callers.slice(k ? CHAINS.ends[k - 1] : 0, CHAINS.ends[k]);
}

/** The moment of the allocator call that event i is or lies in; -1 for none. */
function callOf(i) {
  if (kindOf(i) === "call") return i;
  return EVENTS.cause[i] < 0 ? -1 : momentOf(EVENTS.cause[i]);
}

/** Whether more is to come inside the call at moment `call`, after moment i. */
function isUnderWay(call, i) {
  const tid = EVENTS.tid[call], n = EVENTS.n[call];
  for (let j = i + 1; j < COUNT && j < i + 400; j++) {
    if (EVENTS.tid[j] === tid) return EVENTS.cause[j] === n;
  }
  return false;
}
