// Predicted beside observed, where the run was compared: the row of the moment, and all rows.

const ENTRIES = DATA.compared ? DATA.compared.entries : [];

function fillCompared() {
  const body = document.getElementById("compared");
  if (!body) return;
  body.replaceChildren(...ENTRIES.map((entry) => element("tr", { class: entry.rules.length ? "differs" : "" },
    element("td", {}, entry.n >= 0 ? eventLink(entry.n) : document.createTextNode("–")),
    element("td", { text: entry.count > 1 ? `${number(entry.count)} × ${entry.what}` : entry.what }),
    element("td", { text: entry.observed }),
    element("td", { text: entry.predicted }),
    element("td", { text: entry.rules.length ? `≠ ${entry.rules.join("; ")}` : "=" }))));
}

function showCompared(i) {
  const body = document.getElementById("compared");
  if (!body || !ENTRIES.length) return;
  let at = -1;
  ENTRIES.forEach((entry, k) => { if (entry.n >= 0 && entry.n <= EVENTS.n[i]) at = k; });
  for (const row of body.querySelectorAll(".now")) row.classList.remove("now");
  document.getElementById("compared-now").textContent = at < 0 ? "" :
    filled(TEXT.compared_now, ENTRIES[at].what, ENTRIES[at].observed, ENTRIES[at].predicted);
  if (at < 0) return;
  const row = body.children[at], place = body.closest(".scroll");
  row.classList.add("now");
  place.scrollTop = row.offsetTop - place.clientHeight / 2;
}
