// One region at two levels on one scale: above the pieces that malloc handed out, below the pages behind them.

const PIECES_HIGH = 40, PAGES_HIGH = 30, SEPARATE = 3, NUMBERED = 26;
const LETTERS = { program: "P", allocator: "M", libc: "C", loader: "L", kernel: "K", unknown: "?" };
const view = { low: 0, high: 0, width: 0 };

/** Regions that are worth a strip at any moment: the heap, then mappings with pieces, then the others. */
function stripKeys(process) {
  const { start, kind } = process.regions;
  const found = new Map();
  for (let k = 0; k < start.length; k++) {
    const key = keyOf(process, k);
    if (!found.has(key)) {
      const name = process.regions.names[process.regions.name[k]];
      found.set(key, { key, kind: KINDS_OF_REGION[kind[k]], name, protection: process.regions.protections[process.regions.protection[k]], start: start[k] });
    }
  }
  const rank = (region) => (region.kind === "heap" ? 0 : region.kind === "mapped" ? 1 : region.kind === "stack" ? 2 : 3);
  return [...found.values()].sort((a, b) => rank(a) - rank(b) || a.start - b.start);
}

function fillRegions() {
  const keys = stripKeys(chosen.process).slice(0, 400);
  const select = document.getElementById("region");
  const names = keys.map((region) => (region.kind === "mapped" && region.name ? `${TEXT.mapped_region} ${region.name}` : regionName(region)));
  const extents = keys.map((region) => extentOf(chosen.process, region.key));
  select.replaceChildren(...keys.map((region, k) => {
    const isAlone = names.indexOf(names[k]) === names.lastIndexOf(names[k]);
    return element("option", { value: region.key, text: isAlone || !extents[k] ? names[k] : `${names[k]}, ${sizeText(extents[k].high - extents[k].low)}` });
  }));
  chooseRegion(keys.some((region) => region.key === chosen.key) ? chosen.key : keys.length ? keys[0].key : "", false);
}

function chooseRegion(key, isShown = true) {
  if (!key || !extentOf(chosen.process, key)) return;
  if (key !== chosen.key) chosen.piece = chosen.page = -1;
  chosen.key = key;
  document.getElementById("region").value = key;
  fit();
  if (isShown) show();
}

/** A region that its reader chose stays, whatever the event is about. */
function pinRegion(key) {
  document.getElementById("follow").checked = false;
  chooseRegion(key);
}

function fit() {
  const extent = extentOf(chosen.process, chosen.key) || { low: 0, high: PAGE };
  view.low = extent.low;
  view.high = extent.high;
  chosen.extent = extent;
}

function zoom(factor, middle = (view.low + view.high) / 2) {
  const { low, high } = chosen.extent;
  const length = Math.max(Math.min((view.high - view.low) * factor, high - low), 128);
  view.low = Math.max(low, Math.min(middle - length / 2, high - length));
  view.high = view.low + length;
  show();
}

/** Show the region that the event is about, and move the window so that the place lies in it. */
function follow(i) {
  const at = EVENTS.at[i], process = chosen.process;
  if (!document.getElementById("follow").checked || at < 0 || EVENTS.pid[i] !== process.number) return;
  const region = regionsAt(process, i).find((each) => at >= each.start && at < each.end);
  if (region && region.key !== chosen.key && ["heap", "mapped"].includes(region.kind) && (hasPieces(region) || EVENTS.six[i])) chooseRegion(region.key, false);
  const { low, high } = chosen.extent;
  if (at < low || at >= high || (at >= view.low && at < view.high)) return;
  const length = view.high - view.low;
  view.low = Math.max(low, Math.min(at - length / 2, high - length));
  view.high = view.low + length;
}

const across = (address) => ((address - view.low) / (view.high - view.low)) * view.width;

function showStrip(i) {
  const process = chosen.process;
  view.width = document.getElementById("strip").clientWidth;
  if (!chosen.extent || view.width <= 0) return;
  const spans = mappedParts(process, i);
  drawOverview(spans);
  drawPieces(process, i, spans);
  drawPages(process, i, spans);
  drawScale(spans);
  tellStrip(process, i, spans);
}

function mappedParts(process, i) {
  return regionsAt(process, i).filter((region) => region.key === chosen.key).reverse();
}

/** The patterns that tell kinds apart without their colours; each picture has its own, for print. */
function patterns() {
  const pattern = (id, ground, ...parts) => drawn("pattern", { id, width: 6, height: 6, patternUnits: "userSpaceOnUse" }, drawn("rect", { width: 6, height: 6, class: ground }), ...parts);
  return drawn("defs", {},
    pattern("hatch", "ground-card", drawn("path", { d: "M-1 7L7 -1M-1 1L1 -1M5 7L7 5", class: "hatch-line" })),
    pattern("dots", "ground-frame", drawn("circle", { cx: 3, cy: 3, r: 1.2, class: "dot" })),
    pattern("bars", "ground-frame", drawn("path", { d: "M2 0V6", class: "bar-line" })));
}

function picture(place, height, ...parts) {
  const made = drawn("svg", { width: view.width, height, viewBox: `0 0 ${view.width} ${height}`, role: "presentation" }, ...parts.filter((part) => part !== null));
  place.replaceChildren(made);
  return made;
}

function box(low, high, y, height, name) {
  const x = Math.max(across(low), -2), end = Math.min(across(high), view.width + 2);
  return drawn("rect", { x: x.toFixed(2), y, width: Math.max(end - x, 0.6).toFixed(2), height, class: name });
}

function drawOverview(spans) {
  const place = document.getElementById("overview");
  const { low, high } = chosen.extent;
  const isWhole = view.low <= low && view.high >= high;
  place.hidden = isWhole;
  if (isWhole) return;
  const x = (address) => ((address - low) / (high - low)) * view.width;
  const parts = spans.map((region) => drawn("rect", { x: x(region.start), y: 3, width: Math.max(x(region.end) - x(region.start), 1), height: 6, class: "ground" }));
  const width = Math.max(x(view.high) - x(view.low), 4);
  picture(place, 12, ...parts, drawn("rect", { x: Math.min(x(view.low), view.width - width), y: 1, width, height: 10, class: "window" }));
}

// ---- pieces ----

function drawPieces(process, i, spans) {
  const place = document.getElementById("pieces");
  const items = [];
  const ground = spans.map((region) => box(region.start, region.end, 6, PIECES_HIGH, "ground"));
  const rooms = clustered(process.rooms, thereAt(process.rooms, i, view.low, view.high), "free");
  const live = clustered(process.pieces, thereAt(process.pieces, i, view.low, view.high), "used");
  const call = callOf(i);
  const asked = call >= 0 && EVENTS.pid[call] === process.number && (call !== i || isUnderWay(call, i)) ? EVENTS.n[call] : -1;
  for (const cluster of [...rooms, ...live].sort((a, b) => a.low - b.low)) items.push(pieceItem(process, i, cluster, asked));
  picture(place, PIECES_HIGH + 12, patterns(), ...ground, ...items.map((item) => item.node), hereMark(i, process, PIECES_HIGH + 12));
  makeList(place, items, TEXT.pieces_list);
}

/** Neighbours too narrow to be drawn apart are one box. */
function clustered(spans, indices, what) {
  const found = [];
  for (const k of indices) {
    const low = spans.start[k], high = low + Math.max(spans.size[k], 1);
    const last = found[found.length - 1];
    const isNarrow = across(high) - across(low) < SEPARATE;
    if (last && last.isNarrow && isNarrow && across(low) - across(last.high) < 1.5) {
      last.high = high;
      last.bytes += spans.size[k];
      last.indices.push(k);
    } else {
      found.push({ what, low, high, bytes: spans.size[k], indices: [k], isNarrow });
    }
  }
  return found;
}

function pieceItem(process, i, cluster, asked) {
  const [k] = cluster.indices;
  const isOne = cluster.indices.length === 1, isUsed = cluster.what === "used";
  const isNew = isUsed && isOne && process.pieces.call[k] === asked;
  const name = `${cluster.what}${isNew ? " asked" : ""}${isUsed && isOne && chosen.piece === k ? " chosen" : ""}`;
  const node = drawn("g", { class: `piece ${name}` }, box(cluster.low, cluster.high, 6, PIECES_HIGH, "shape"));
  const shown = Math.min(across(cluster.high), view.width) - Math.max(across(cluster.low), 0);
  if (isOne && shown > 44) {
    const text = drawn("text", { x: Math.max(across(cluster.low), 0) + 6, y: 6 + PIECES_HIGH / 2 + 4, class: "label" });
    text.textContent = shown > 90 ? sizeText(cluster.bytes) : number(cluster.bytes);
    node.append(text);
  }
  const offset = hex(cluster.low - chosen.extent.low);
  const words = isUsed ? (isNew ? TEXT.piece_asked : TEXT.piece_used) : TEXT.piece_free;
  const label = isOne ? filled(words, sizeText(cluster.bytes), offset) : filled(isUsed ? TEXT.pieces_used : TEXT.pieces_free, number(cluster.indices.length), sizeText(cluster.bytes), offset);
  node.append(drawn("title", {}, label));
  const open = () => {
    if (!isOne) {
      zoom(Math.max((cluster.high - cluster.low) * 1.5, 128) / (view.high - view.low), (cluster.low + cluster.high) / 2);
    } else if (isUsed) {
      choosePiece(k);
    } else {
      chooseRoom(k);
    }
  };
  return { node, label, open, x: across(cluster.low) };
}

// ---- pages ----

function drawPages(process, i, spans) {
  const place = document.getElementById("pages");
  const wide = across(view.low + PAGE) >= SEPARATE + 1;
  const ground = spans.map((region) => box(region.start, region.end, 0, PAGES_HIGH, "ground"));
  if (wide) for (const region of spans) ground.push(...emptyPages(region));
  const there = thereAt(process.pages, i, view.low, view.high);
  const held = heldPages(process);
  const items = (wide ? there.map((k) => [k]) : runsOf(process.pages, there)).map((run) => pageItem(process, run, held));
  picture(place, PAGES_HIGH + 2, ...ground, ...items.map((item) => item.node));
  makeList(place, items, TEXT.pages_list);
}

function emptyPages(region) {
  const found = [];
  const first = Math.max(region.start, Math.floor(view.low / PAGE) * PAGE);
  for (let page = first; page < Math.min(region.end, view.high); page += PAGE) found.push(box(page, page + PAGE, 0, PAGES_HIGH, "page-empty"));
  return found;
}

/** From where to where the chosen piece reaches. */
function heldPages(process) {
  if (chosen.piece < 0) return null;
  const low = process.pieces.start[chosen.piece];
  return [low, low + Math.max(process.pieces.size[chosen.piece], 1)];
}

/** Neighbours of one kind, too narrow to be drawn apart, as one. */
function runsOf(pages, indices) {
  const found = [];
  for (const k of indices) {
    const run = found[found.length - 1], last = run ? run[run.length - 1] : -1;
    const joins = run && pages.start[k] === pages.start[last] + PAGE && pages.toucher[k] === pages.toucher[last] && pages.how[k] === pages.how[last];
    if (joins) run.push(k); else found.push([k]);
  }
  return found;
}

function pageItem(process, run, held) {
  const { start, toucher, how, frame } = process.pages;
  const [k] = run;
  const low = start[k], high = start[run[run.length - 1]] + PAGE;
  const who = TOUCHERS[toucher[k]], state = HOW[how[k]];
  const isHeld = held !== null && low < held[1] && high > held[0];
  const isChosen = run.length === 1 && chosen.page === start[k];
  const node = drawn("g", { class: `page ${state} by-${who}${isHeld ? " held" : ""}${isChosen ? " chosen" : ""}` }, box(low, high, 0, PAGES_HIGH, "shape"));
  const width = across(low + PAGE) - across(low);
  if (width >= 13) {
    const letter = drawn("text", { x: (across(low) + across(high)) / 2, y: width >= NUMBERED ? 13 : 19, class: "letter", "text-anchor": "middle" });
    letter.textContent = state === "zero" ? "0" : state === "shared" ? "S" : LETTERS[who];
    node.append(letter);
  }
  const page = (low - chosen.extent.low) / PAGE;
  if (width >= NUMBERED) {
    const label = drawn("text", { x: (across(low) + across(high)) / 2, y: 25, class: "page-number", "text-anchor": "middle" });
    label.textContent = number(page);
    node.append(label);
  }
  const behind = frame[k] >= 0 ? filled(TEXT.frame, hex(frame[k])) : TEXT.hows[state];
  const label = run.length === 1 ? filled(TEXT.page_label, number(page), TEXT.touched[who], behind)
    : filled(TEXT.pages_label, number(page), number(page + run.length - 1), TEXT.touched[who]);
  node.append(drawn("title", {}, label));
  const open = () => (run.length === 1 ? choosePage(start[k]) : zoom((run.length * PAGE * 1.2) / (view.high - view.low), (low + high) / 2));
  return { node, label, open, x: across(low) };
}

// ---- what stands around them ----

function drawScale(spans) {
  const place = document.getElementById("scale");
  const parts = [];
  const length = view.high - view.low, base = chosen.extent.low;
  const step = 2 ** Math.max(4, Math.ceil(Math.log2(length / (view.width < 500 ? 3 : 8))));
  for (let address = base + Math.ceil((view.low - base) / step) * step; address <= view.high; address += step) {
    const x = across(address), side = x < 20 ? "start" : x > view.width - 34 ? "end" : "middle";
    const text = drawn("text", { x, y: 17, class: "tick", "text-anchor": side });
    text.textContent = address > base ? `+${sizeText(address - base)}` : "0";
    parts.push(drawn("line", { x1: x, x2: x, y1: 0, y2: 5, class: "tick-line" }), text);
  }
  picture(place, 20, ...parts);
  const end = spans.length ? spans[spans.length - 1].end : chosen.extent.low;
  const marker = document.getElementById("break");
  const isHeap = spans.length && spans[0].kind === "heap" && end > view.low && end <= view.high + 1;
  marker.hidden = !isHeap;
  if (isHeap) {
    const x = Math.min(across(end), view.width - 1);
    marker.style.left = `${x}px`;
    marker.classList.toggle("left", x > view.width - 90);
  }
}

function hereMark(i, process, height) {
  const at = EVENTS.at[i];
  if (EVENTS.pid[i] !== process.number || at < view.low || at >= view.high) return null;
  const x = across(at);
  return drawn("path", { d: `M${x - 5} 0h10l-5 6z`, class: "here-mark" });
}

function tellStrip(process, i, spans) {
  const words = document.getElementById("strip-words");
  if (!spans.length) {
    words.textContent = TEXT.region_absent;
    return;
  }
  const low = spans[0].start, high = spans[spans.length - 1].end;
  const live = thereAt(process.pieces, i, low, high);
  const pages = residentIn(process, i, low, high);
  const bytes = live.reduce((sum, k) => sum + process.pieces.size[k], 0);
  const mapped = spans.reduce((sum, region) => sum + region.size, 0);
  words.textContent = filled(TEXT.strip_words, number(live.length), sizeText(bytes), sizeText(mapped), number(pages), sizeText(pages * PAGE));
}

/** Make what is drawn in `place` a list that keys walk through: arrows move, Enter opens. */
function makeList(place, items, label) {
  const active = items.length ? Math.min(place.activeItem || 0, items.length - 1) : -1;
  place.items = items;
  if (items.length) {
    place.setAttribute("role", "listbox");
    place.tabIndex = 0;
  } else {
    place.setAttribute("role", "img");
    place.removeAttribute("tabindex");
  }
  place.setAttribute("aria-label", items.length ? label : TEXT.none_here);
  items.forEach((item, k) => {
    item.node.id = `${place.id}-${k}`;
    item.node.setAttribute("role", "option");
    item.node.setAttribute("aria-label", item.label);
    item.node.setAttribute("aria-selected", "false");
    item.node.addEventListener("click", () => { activate(place, k); item.open(); });
  });
  activate(place, active);
}

function activate(place, k) {
  const before = place.items[place.activeItem];
  if (before) {
    before.node.classList.remove("active");
    before.node.setAttribute("aria-selected", "false");
  }
  place.activeItem = k;
  if (k < 0 || !place.items[k]) {
    place.removeAttribute("aria-activedescendant");
    return;
  }
  place.items[k].node.classList.add("active");
  place.items[k].node.setAttribute("aria-selected", "true");
  place.setAttribute("aria-activedescendant", place.items[k].node.id);
}

function walkList(event) {
  const place = event.currentTarget, last = place.items.length - 1;
  const to = { ArrowLeft: place.activeItem - 1, ArrowRight: place.activeItem + 1, Home: 0, End: last }[event.key];
  if (to !== undefined) activate(place, Math.max(0, Math.min(to, last)));
  else if (event.key === "Enter" || event.key === " ") { if (place.items[place.activeItem]) place.items[place.activeItem].open(); }
  else return;
  event.preventDefault();
  event.stopPropagation();
}
