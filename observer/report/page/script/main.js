// The moment, and whatever moves it: slider, keys, play, links. Every view is drawn anew for it.

const chosen = { process: PROCESSES[0], key: "", extent: null, piece: -1, page: -1 };
const now = { moment: 0, timer: 0, queued: false };
const JUMP = Math.max(10, Math.round(COUNT / 50));

function show() {
  const i = now.moment;
  showSentence(i);
  showSteps(i);
  showRings(i);
  showSource(i);
  if (chosen.process) {
    follow(i);
    showSpace(i);
    showStrip(i);
    showChart(i);
  }
  showEvents(i);
  showCompared(i);
}

function go(i) {
  now.moment = Math.max(0, Math.min(i, COUNT - 1));
  show();
}

/** The slider may move faster than a picture is drawn: the last place counts. */
function goSoon(i) {
  now.moment = i;
  if (now.queued) return;
  now.queued = true;
  requestAnimationFrame(() => { now.queued = false; show(); });
}

function togglePlay() {
  const button = document.getElementById("play");
  const sentence = document.getElementById("sentence");
  if (now.timer) {
    clearInterval(now.timer);
    now.timer = 0;
  } else {
    if (now.moment >= COUNT - 1) go(0);
    const stride = Math.max(1, Math.round(COUNT / 1500));
    now.timer = setInterval(() => {
      go(now.moment + stride);
      if (now.moment >= COUNT - 1) togglePlay();
    }, 350);
  }
  sentence.setAttribute("aria-live", now.timer ? "off" : "polite");
  button.setAttribute("aria-pressed", now.timer ? "true" : "false");
  button.textContent = now.timer ? TEXT.pause : TEXT.play;
}

function takeKey(event) {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("select, textarea, [role=listbox], [popover]")) return;
  if (event.key === "Escape") {
    if (!document.getElementById("life-close").hidden) closeLife();
    return;
  }
  // What can be scrolled keeps the keys that scroll it.
  if (event.target.closest("#source, .scroll") && !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const i = now.moment;
  const to = { ArrowLeft: i - 1, ArrowRight: i + 1, PageUp: i - JUMP, PageDown: i + JUMP, Home: 0, End: COUNT - 1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  go(to);
}

function chooseProcess(k) {
  chosen.process = PROCESSES[k];
  chosen.piece = chosen.page = -1;
  fillRegions();
  drawChart();
  show();
}

/** What a newcomer sees first: the program's first touch of memory that malloc gave, else its first call. */
function firstMoment() {
  const wanted = Number((location.hash.match(/^#(\d+)$/) || [])[1]);
  if (location.hash.length > 1 && momentOf(wanted) >= 0) return momentOf(wanted);
  const own = (i) => !PROCESSES.length || EVENTS.pid[i] === PROCESSES[0].number;
  for (let i = 0; i < COUNT; i++) if (EVENTS.six[i] && EVENTS.cause[i] < 0 && own(i)) return i;
  for (let i = 0; i < COUNT; i++) if (kindOf(i) === "call") return i;
  return COUNT - 1;
}

function toggleTheme() {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = isDark ? "light" : "dark";
}

function listen() {
  const on = (id, what, act) => document.getElementById(id).addEventListener(what, act);
  on("slider", "input", (event) => goSoon(Number(event.target.value)));
  on("back", "click", () => go(now.moment - 1));
  on("on", "click", () => go(now.moment + 1));
  on("play", "click", togglePlay);
  on("theme", "click", toggleTheme);
  on("region", "change", (event) => pinRegion(event.target.value));
  on("follow", "change", show);
  on("zoom-in", "click", () => zoom(0.5, middleOfInterest()));
  on("zoom-out", "click", () => zoom(2));
  on("zoom-fit", "click", () => { fit(); show(); });
  on("life-close", "click", closeLife);
  on("overview", "click", (event) => {
    const share = (event.clientX - event.currentTarget.getBoundingClientRect().left) / view.width;
    zoom(1, chosen.extent.low + share * (chosen.extent.high - chosen.extent.low));
  });
  for (const id of ["pieces", "pages"]) on(id, "keydown", walkList);
  document.addEventListener("keydown", takeKey);
  for (const button of document.querySelectorAll("[data-event]")) {
    button.addEventListener("click", () => { go(momentOf(Number(button.dataset.event))); document.getElementById("moment").scrollIntoView(); });
    button.disabled = momentOf(Number(button.dataset.event)) < 0;
  }
  new ResizeObserver(() => { drawDensity(); if (chosen.process) drawChart(); show(); }).observe(document.getElementById("strip"));
}

function middleOfInterest() {
  const at = EVENTS.at[now.moment];
  return at >= view.low && at < view.high && EVENTS.pid[now.moment] === chosen.process.number ? at : (view.low + view.high) / 2;
}

function start() {
  if (!COUNT) {
    for (const part of document.querySelectorAll("#moment, .grid")) part.hidden = true;
    return;
  }
  const slider = document.getElementById("slider");
  slider.max = String(COUNT - 1);
  fillFiles();
  fillCompared();
  const select = document.getElementById("process");
  select.addEventListener("change", () => chooseProcess(Number(select.value)));
  now.moment = firstMoment();
  if (chosen.process) fillRegions();
  closeLifeQuietly();
  listen();
}

function closeLifeQuietly() {
  document.getElementById("life").replaceChildren(element("p", { class: "hint", text: TEXT.life_hint }));
}

start();
window.observerPage = { go, stateAt: (k, i) => stateAt(PROCESSES[k], i), momentOf, count: COUNT, sentenceOf };
