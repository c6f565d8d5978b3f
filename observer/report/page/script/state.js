// What a process holds at a moment. Every span says from which moment to which it is there, so nothing is replayed.

/** The indices of those spans that are there at moment i and meet [low, high), in the order of their addresses. */
function thereAt(spans, i, low = 0, high = Infinity) {
  const { start, size, born, died } = spans;
  const found = [];
  for (let k = 0; k < start.length; k++) {
    if (start[k] >= high) break;
    if (born[k] <= i && i < died[k] && start[k] + (size ? Math.max(size[k], 1) : PAGE) > low) found.push(k);
  }
  return found;
}

/** Bytes asked for, of heap, mapped apart, resident, at moment i. */
function levelAt(process, i) {
  const { at, asked, heap, mapped, frames } = process.levels;
  const k = lowerBound(at, i + 1) - 1;
  if (k < 0) return { asked: 0, heap: 0, mapped: 0, frames: 0 };
  return { asked: asked[k], heap: heap[k], mapped: mapped[k], frames: frames[k] };
}

/** The regions at moment i, neighbours of one name as one; high addresses first. */
function regionsAt(process, i) {
  const { start, size, kind, name, protection, names, protections } = process.regions;
  const found = [];
  for (const k of thereAt(process.regions, i)) {
    const last = found[found.length - 1];
    const region = {
      key: keyOf(process, k), kind: KINDS_OF_REGION[kind[k]], name: names[name[k]], start: start[k],
      end: start[k] + size[k], size: size[k], protection: protections[protection[k]], born: process.regions.born[k],
    };
    const joins = last && last.key === region.key && (last.end === region.start || ["file", "kernel"].includes(region.kind));
    if (joins) {
      last.end = region.end;
      last.size += region.size;
      last.born = Math.max(last.born, region.born);
      if (last.protection !== region.protection) last.protection = "";
    } else {
      found.push(region);
    }
  }
  return found.reverse();
}

/** What makes regions one to their reader: their name; anonymous memory without a name is known by where it lies. */
function keyOf(process, k) {
  const { start, name, kind, names, protection, protections } = process.regions;
  const text = names[name[k]];
  const guard = protections[protection[k]];
  if (KINDS_OF_REGION[kind[k]] === "program") return `${text} ${guard}`;
  return (text || `@${start[k]}`) + (KINDS_OF_REGION[kind[k]] === "mapped" && guard === "---" ? " ---" : "");
}

/** From where to where a region reaches at any moment of the run. */
function extentOf(process, key) {
  const { start, size } = process.regions;
  let low = Infinity, high = 0;
  for (let k = 0; k < start.length; k++) {
    if (keyOf(process, k) === key) {
      low = Math.min(low, start[k]);
      high = Math.max(high, start[k] + size[k]);
    }
  }
  return low < high ? { low, high } : null;
}

/** Every live piece and resident page at moment i, for whoever checks this page against another account of the run. */
function stateAt(process, i) {
  const { pieces, pages } = process;
  return {
    n: EVENTS.n[i],
    level: levelAt(process, i),
    pieces: thereAt(pieces, i).map((k) => [pieces.start[k], pieces.size[k]]),
    pages: thereAt(pages, i).map((k) => pages.start[k]),
  };
}
