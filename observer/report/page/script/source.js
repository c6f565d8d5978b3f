// The program's source with the line of the moment, and how many events each line caused.

const MOST_LINES = 600;
const sources = { file: -1, from: -1, line: -1, isFollowing: true };

/** By file, by line: how many events. */
const eventsAtLines = DATA.sources.map(() => new Map());
const fileOfSite = SITES.map((site) => (site.line ? DATA.sources.findIndex((source) => source.path === site.file) : -1));
for (let i = 0; i < COUNT; i++) {
  const file = EVENTS.site[i] < 0 ? -1 : fileOfSite[EVENTS.site[i]];
  if (file >= 0) {
    const line = SITES[EVENTS.site[i]].line;
    eventsAtLines[file].set(line, (eventsAtLines[file].get(line) || 0) + 1);
  }
}

function fillFiles() {
  const select = document.getElementById("file");
  select.replaceChildren(...DATA.sources.map((source, k) => element("option", { value: String(k), text: source.name })));
  select.addEventListener("change", () => {
    sources.isFollowing = false;
    drawSource(Number(select.value), 1);
    sources.isFollowing = true;
  });
}

function showSource(i) {
  showCallers(i);
  const site = siteOf(i);
  const file = EVENTS.site[i] < 0 ? -1 : fileOfSite[EVENTS.site[i]];
  const note = document.getElementById("source-note");
  if (file >= 0) {
    note.textContent = site.function ? filled(TEXT.in_function, site.function, site.text) : site.text;
    drawSource(file, site.line, true);
    return;
  }
  note.textContent = site ? filled(TEXT.no_source_of, site.text) : TEXT.no_place;
  if (sources.file < 0 && DATA.sources.length) drawSource(0, 1);
  markLine(-1);
}

/** The callers of the call at moment i, each with a way to its line. */
function callersAt(i) {
  const parts = [];
  for (const site of callersOf(i)) {
    if (parts.length) parts.push(document.createTextNode(" ← "));
    parts.push(site < 0 ? element("span", { text: "…", title: TEXT.other_callers }) : callerAt(site));
  }
  return parts;
}

function callerAt(site) {
  const { text, line } = SITES[site], file = fileOfSite[site], name = SITES[site].function;
  const words = name && !text.startsWith(name) ? `${name} ${text}` : text;
  return file < 0 ? element("span", { text: words }) : element("button", { type: "button", class: "link", text: words, onclick: () => drawSource(file, line, true) });
}

function showCallers(i) {
  const place = document.getElementById("callers"), parts = callersAt(i);
  place.hidden = !parts.length;
  place.replaceChildren(document.createTextNode(`${TEXT.callers} `), ...parts);
}

function drawSource(file, line, isNow = false) {
  const source = DATA.sources[file];
  const from = source.lines.length <= MOST_LINES ? 0 : Math.max(0, Math.min(line - MOST_LINES / 2, source.lines.length - MOST_LINES));
  const isShown = file === sources.file && line > sources.from && line <= sources.from + MOST_LINES;
  if (!isShown) {
    sources.file = file;
    sources.from = from;
    document.getElementById("file").value = String(file);
    const rows = source.lines.slice(from, from + MOST_LINES).map((text, k) => sourceRow(file, from + k + 1, text));
    if (from + MOST_LINES < source.lines.length || source.left_out) {
      rows.push(element("div", { class: "line more", text: filled(TEXT.more_lines, number(source.lines.length - from - rows.length + source.left_out)) }));
    }
    document.getElementById("source").replaceChildren(...rows);
  }
  markLine(isNow ? line : -1);
}

function sourceRow(file, line, text) {
  const count = eventsAtLines[file].get(line) || 0;
  const row = element("div", { class: count ? "line eventful" : "line", "data-line": String(line) });
  const label = filled(count === 1 ? TEXT.line_one : TEXT.line_many, number(line), number(count));
  row.append(
    count
      ? element("button", { type: "button", class: "gutter", text: String(line), "aria-label": label })
      : element("span", { class: "gutter", text: String(line) }),
    element("span", { class: "count", "aria-hidden": "true", text: count ? `×${count < 10000 ? number(count) : `${Math.round(count / 1000)}k`}` : "" }),
    element("code", { text: text || " " }));
  if (count) row.addEventListener("click", () => showLine(file, line));
  return row;
}

function markLine(line) {
  const place = document.getElementById("source");
  for (const old of place.querySelectorAll(".now")) {
    old.classList.remove("now");
    old.removeAttribute("aria-current");
  }
  const row = line > 0 ? place.querySelector(`[data-line="${line}"]`) : null;
  if (!row) return;
  row.classList.add("now");
  row.setAttribute("aria-current", "true");
  const middle = row.offsetTop - place.clientHeight / 2 + row.offsetHeight / 2;
  if (row.offsetTop < place.scrollTop + 24 || row.offsetTop + row.offsetHeight > place.scrollTop + place.clientHeight - 24) place.scrollTop = middle;
}

/** The events of a source line, in the panel for what was chosen. */
function showLine(file, line) {
  const found = [];
  for (let i = 0; i < COUNT; i++) {
    if (EVENTS.site[i] >= 0 && fileOfSite[EVENTS.site[i]] === file && SITES[EVENTS.site[i]].line === line) found.push(i);
  }
  const text = DATA.sources[file].lines[line - 1] || "";
  openLife(`${DATA.sources[file].name}:${line}`, element("code", { class: "quoted", text: text.trim() }), momentList(found));
}
