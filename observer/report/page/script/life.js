// What was chosen, told from its beginning to its end: a piece, free room, a page, a source line.

const MOST_PARTS = 12;
let opener = null;

function openLife(title, ...content) {
  const heading = document.getElementById("life-title");
  opener = document.activeElement;
  heading.textContent = title;
  document.getElementById("life").replaceChildren(...content);
  document.getElementById("life-close").hidden = false;
  heading.focus({ preventScroll: true });
  const area = document.getElementById("life-panel").getBoundingClientRect();
  if (area.top > window.innerHeight - 80 || area.bottom < 160) document.getElementById("life-panel").scrollIntoView({ block: "nearest" });
}

function closeLife() {
  chosen.piece = chosen.page = -1;
  document.getElementById("life-title").textContent = TEXT.life;
  document.getElementById("life").replaceChildren(element("p", { class: "hint", text: TEXT.life_hint }));
  document.getElementById("life-close").hidden = true;
  show();
  if (opener) opener.focus({ preventScroll: true });
}

function facts(rows) {
  const list = element("dl", { class: "facts" });
  for (const [name, ...content] of rows) {
    if (!content.length || content[0] === null) continue;
    list.append(element("dt", { text: name }), element("dd", {}, ...content));
  }
  return list;
}

/** A link to event n with its sentence. */
function told(n) {
  const i = momentOf(n);
  return i < 0 ? [eventLink(n)] : [eventLink(n), element("span", { class: "told", text: ` ${sentenceOf(i)}` })];
}

function momentList(moments) {
  const rows = moments.slice(0, 40).map((i) => element("li", {}, ...told(EVENTS.n[i])));
  if (moments.length > 40) rows.push(element("li", { class: "hint", text: filled(TEXT.more, number(moments.length - 40)) }));
  return element("ol", { class: "moments" }, ...rows);
}

function choosePiece(k) {
  const { pieces } = chosen.process;
  chosen.piece = k;
  chosen.page = -1;
  show();
  const call = momentOf(pieces.call[k]);
  const served = call >= 0 ? TABLES.served[EVENTS.served[call]] : "";
  openLife(filled(TEXT.piece_title, sizeText(pieces.size[k]), hex(pieces.start[k] - chosen.extent.low)), facts([
    [TEXT.asked_at, placeOf(pieces.site[k])],
    [TEXT.asked_by, ...told(pieces.call[k])],
    [TEXT.callers, ...(call < 0 ? [] : callersAt(call))],
    [TEXT.served, served ? document.createTextNode(TEXT.served_words[served] || served) : null],
    [TEXT.its_pages, pagesOfPiece(k)],
    [TEXT.given_back, ...(pieces.ender[k] < 0 ? [document.createTextNode(TEXT.never)] : told(pieces.ender[k]))],
  ]));
}

/** A place in the program; where its source is here, a way to all that happened at its line. */
function placeOf(site) {
  if (site < 0) return element("strong", { text: "?" });
  const { text, line } = SITES[site], file = fileOfSite[site];
  return file < 0 ? element("strong", { text }) : element("button", { type: "button", class: "link", text, onclick: () => showLine(file, line) });
}

/** The pages a piece lies on, each with who brought it in while the piece lived, or before. */
function pagesOfPiece(k) {
  const { pieces, pages } = chosen.process;
  const first = Math.floor(pieces.start[k] / PAGE) * PAGE, end = pieces.start[k] + Math.max(pieces.size[k], 1);
  const count = Math.ceil((end - first) / PAGE);
  const rows = [];
  let brought = 0;
  for (let j = lowerBound(pages.start, first); j < pages.start.length && pages.start[j] < end; j++) {
    if (pages.born[j] >= pieces.died[k] || pages.died[j] <= pieces.born[k]) continue;
    brought++;
    if (rows.length < MOST_PARTS) {
      const when = pages.born[j] < pieces.born[k] ? TEXT.before : "";
      rows.push(element("li", {},
        document.createTextNode(`${filled(TEXT.page_n, number((pages.start[j] - chosen.extent.low) / PAGE))}: ${TEXT.touched[TOUCHERS[pages.toucher[j]]]}${when}, `), eventLink(pages.fault[j])));
    }
  }
  if (brought > rows.length) rows.push(element("li", { class: "hint", text: filled(TEXT.more, number(brought - rows.length)) }));
  return element("div", {}, element("p", { text: filled(TEXT.on_pages, number(count), number(brought)) }), element("ul", {}, ...rows));
}

function chooseRoom(k) {
  const { rooms } = chosen.process;
  chosen.piece = chosen.page = -1;
  show();
  const end = rooms.died[k] < COUNT ? told(EVENTS.n[rooms.died[k]]) : [document.createTextNode(TEXT.still_free)];
  openLife(filled(TEXT.room_title, sizeText(rooms.size[k]), hex(rooms.start[k] - chosen.extent.low)), facts([
    [TEXT.free_since, ...told(rooms.giver[k])],
    [TEXT.free_until, ...end],
  ]));
}

function choosePage(start) {
  const { pages, pieces } = chosen.process;
  chosen.page = start;
  chosen.piece = -1;
  show();
  const rows = [[TEXT.address, element("code", { text: hex(start) })]];
  for (let k = lowerBound(pages.start, start); k < pages.start.length && pages.start[k] === start; k++) {
    const nodes = told(pages.fault[k]), frame = pages.frame[k] >= 0 ? filled(TEXT.frame, hex(pages.frame[k])) : "";
    const isTold = nodes.some((node) => node.textContent.includes(frame));
    rows.push([TEXT.brought, ...nodes, document.createTextNode(isTold ? "" : `. ${frame}`)]);
    rows.push([TEXT.is, document.createTextNode(TEXT.hows[HOW[pages.how[k]]])]);
    if (pages.died[k] < COUNT) rows.push([TEXT.went, ...told(EVENTS.n[pages.died[k]])]);
  }
  const on = thereAt(pieces, now.moment, start, start + PAGE);
  rows.push([TEXT.pieces_on, element("ul", {}, ...on.slice(0, 6).map((k) => element("li", {}, element("button", {
    type: "button", class: "link", text: `${sizeText(pieces.size[k])}, ${pieces.site[k] >= 0 ? SITES[pieces.site[k]].text : "?"}`, onclick: () => choosePiece(k),
  }))), on.length > 6 ? element("li", { text: filled(TEXT.more, number(on.length - 6)) }) : null, on.length ? null : element("li", { text: TEXT.no_piece }))]);
  openLife(filled(TEXT.page_title, number((start - chosen.extent.low) / PAGE)), facts(rows));
}
