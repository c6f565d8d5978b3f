// The address space at the moment, upright: high addresses at the top, as the book draws it.

const SMALL_GAP = 1 << 20;

function residentIn(process, i, low, high) {
  const { start, born, died } = process.pages;
  let count = 0;
  for (let k = lowerBound(start, low); k < start.length && start[k] < high; k++) if (born[k] <= i && i < died[k]) count++;
  return count;
}

function showSpace(i) {
  const process = chosen.process;
  const regions = grouped(regionsAt(process, i));
  const hasHeap = regions.some((region) => region.kind === "heap");
  const rows = [];
  let above = null;
  for (const region of regions) {
    const isHeapRoom = region.kind === "heap" || (region.kind === "program" && !hasHeap && above && above.kind !== "program");
    if (above && above.start - region.end >= (isHeapRoom ? 1 : SMALL_GAP)) rows.push(gapRow(region, above, isHeapRoom));
    rows.push(regionRow(process, region, i));
    above = region;
  }
  if (!rows.length) rows.push(element("li", { class: "empty", text: TEXT.nothing_mapped }));
  const place = document.getElementById("space");
  place.replaceChildren(...rows);
  const here = place.querySelector(".is-here");
  if (here && (here.offsetTop < place.scrollTop || here.offsetTop + here.offsetHeight > place.scrollTop + place.clientHeight)) {
    place.scrollTop = here.offsetTop - place.clientHeight / 2;
  }
}

/** Files and the kernel's own between others, three and more, are one box. */
function grouped(regions) {
  const found = [];
  let run = [];
  const close = () => {
    if (run.length < 3) found.push(...run);
    else found.push({ kind: "files", key: "", start: run[run.length - 1].start, end: run[0].end, size: run.reduce((sum, r) => sum + r.size, 0), count: run.length, born: Math.max(...run.map((r) => r.born)), parts: run });
    run = [];
  };
  for (const region of regions) {
    const isSmall = region.kind === "file" || region.kind === "kernel" || (region.kind === "mapped" && region.size < 1 << 18 && !hasPieces(region));
    if (isSmall) run.push(region);
    else { close(); found.push(region); }
  }
  close();
  return found;
}

function hasPieces(region) {
  const { start } = chosen.process.pieces;
  const k = lowerBound(start, region.start);
  return k < start.length && start[k] < region.end;
}

function regionRow(process, region, i) {
  const pages = residentIn(process, i, region.start, region.end);
  const name = region.kind === "files" ? filled(TEXT.files, number(region.count)) : regionName(region);
  const height = Math.round(Math.max(26, Math.min(26 + 4 * (Math.log2(region.size / PAGE) - 4), region.kind === "mapped" ? 56 : 34)));
  const at = EVENTS.at[i];
  const isHere = at >= region.start && at < region.end && EVENTS.pid[i] === process.number;
  const share = Math.min(pages * PAGE / region.size, 1);
  const label = filled(TEXT.region_label, name, sizeText(region.size), sizeText(pages * PAGE));
  const button = element("button", {
    type: "button", class: `region ${region.kind}${region.born === i && i > 0 ? " new" : ""}`, "aria-label": isHere ? `${label}. ${TEXT.here}` : label,
    "aria-pressed": region.key && region.key === chosen.key ? "true" : "false", onclick: () => pinRegion(region.parts ? region.parts[0].key : region.key),
  },
    element("span", { class: "name", text: name }),
    element("span", { class: "size", text: sizeText(region.size) }),
    element("span", { class: "bar", "aria-hidden": "true" }));
  button.style.minHeight = `${region.kind === "heap" ? Math.max(height, 44) : height}px`;
  button.querySelector(".bar").style.setProperty("--share", String(share));
  const note = element("span", { class: "here", "aria-hidden": "true", text: isHere ? "◀" : "" });
  return element("li", { class: isHere ? "is-here" : "" }, button, note);
}

function gapRow(lower, above, isHeapRoom) {
  const words = isHeapRoom ? TEXT.gap_heap : above.kind === "stack" ? TEXT.gap_stack : TEXT.gap;
  return element("li", { class: "gap" }, element("span", { text: filled(words, sizeText(above.start - lower.end)) }));
}
