// The moment told: its sentence, the six steps, the rings around it, the events before and behind it.

const GLYPHS = { call: "●", syscall: "▼", fault: "▲", signal: "✖", process: "◆", library: "■", lost: "?" };
const MOST_ROWS = 15;

function showSentence(i) {
  const text = sentenceOf(i);
  document.getElementById("sentence").textContent = text;
  document.getElementById("sentence").classList.toggle("long", text.length > 110);
  document.getElementById("glyph").textContent = GLYPHS[kindOf(i)];
  document.getElementById("kind").textContent = TEXT.kinds[kindOf(i)];
  document.getElementById("where-now").textContent =
    `${filled(TEXT.event_of, number(EVENTS.n[i]), number(DATA.last_n))} · ${timeText(EVENTS.t[i])}`;
  const slider = document.getElementById("slider");
  slider.value = String(i);
  slider.style.setProperty("--done", `${(100 * i) / Math.max(COUNT - 1, 1)}%`);
  slider.setAttribute("aria-valuetext", `${filled(TEXT.event_n, number(EVENTS.n[i]))}: ${text}`);
}

/** Which steps are done, happening and still to come, for the call that moment i lies in. */
function stepsAt(i) {
  const own = stepOf(i);
  const call = callOf(i);
  const state = {};
  const mark = (steps, what) => { for (const step of steps.match(/[1-6]/g) || []) state[step] = what; };
  if (call >= 0 && stepOf(call)) {
    mark(stepOf(call), "coming");
    if (call === i) {
      const all = stepOf(call);
      if (isUnderWay(call, i)) mark("1", "now"); else mark(all, "now");
      return state;
    }
    mark("1", "done");
    for (let j = call + 1; j < i; j++) if (EVENTS.cause[j] === EVENTS.n[call] && stepOf(j) !== "6") mark(stepOf(j), "done");
  }
  mark(own, "now");
  return state;
}

function showSteps(i) {
  const state = stepsAt(i);
  for (const item of document.querySelectorAll("#steps li")) {
    const what = state[item.dataset.step] || "idle";
    item.className = what;
    item.querySelector(".step-state").textContent = what === "idle" ? "" : TEXT.step_states[what];
    if (what === "now") item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current");
  }
  const call = callOf(i);
  const path = call >= 0 && stepOf(call) ? stepOf(call) : stepOf(i);
  document.getElementById("path").textContent = 
    path ? filled(path.length > 1 ? TEXT.takes : TEXT.is_step, path) : TEXT.no_step;
}

/** The lane: each event a column, its line down in kernel mode where it crossed. */
function showRings(i) {
  const place = document.getElementById("rings");
  const width = place.clientWidth, spacing = width < 600 ? 16 : 22;
  const half = Math.floor(width / spacing / 2);
  const x = (j) => width / 2 + (j - i) * spacing;
  const [user, kernel, height] = [20, 56, 76];
  const picture = drawn("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "presentation" });
  picture.append(drawn("rect", { x: 0, y: 38, width, height: 38, class: "kernel-band" }));
  picture.append(drawn("rect", { x: x(i) - spacing / 2, y: 0, width: spacing, height, class: "now-band" }));
  let path = "";
  const marks = [];
  for (let j = Math.max(i - half - 1, 0); j <= Math.min(i + half + 1, COUNT - 1); j++) {
    const crosses = ringOf(j).includes("0"), ends = ringOf(j).endsWith("→0");
    path += path ? `H${x(j) - 5}` : `M${x(j) - spacing / 2} ${user}`;
    if (crosses) path += `V${kernel}H${x(j) + 5}` + (ends ? "" : `V${user}`); else path += `V${user}`;
    const mark = drawn("text", {
      x: x(j), y: (crosses ? kernel : user) + 5, class: `mark ${kindOf(j)}${j === i ? " now" : ""}`, "text-anchor": "middle",
    });
    mark.textContent = GLYPHS[kindOf(j)];
    mark.append(drawn("title", {}, sentenceOf(j)));
    mark.addEventListener("click", () => go(j));
    marks.push(mark);
  }
  picture.append(drawn("path", { d: path, class: "ring-line" }), ...marks);
  place.replaceChildren(picture);
  const ring = ringOf(i);
  document.getElementById("ring-now").textContent = ring ? filled(TEXT.ring_now, ring, ringWords(i, ring))
    : ["call", "library"].includes(kindOf(i)) ? TEXT.ring_3 : "";
}

function ringWords(i, ring) {
  if (ring.startsWith("0")) return TEXT.ring_words.kernel;
  if (!ring.includes("0")) return TEXT.ring_words.user;
  return TEXT.ring_words[kindOf(i)] || TEXT.ring_words.syscall;
}

/** Where in the run what happened: short strokes for calls, longer ones for page faults, system calls, signals. */
function drawDensity() {
  const place = document.getElementById("density"), width = Math.max(place.clientWidth, 1);
  const ranks = ["call", "fault", "syscall", "signal"];
  const columns = new Array(width + 1).fill(-1);
  for (let i = 0; i < COUNT; i++) {
    const rank = ranks.indexOf(kindOf(i)), x = Math.round((width * i) / Math.max(COUNT - 1, 1));
    if (rank > columns[x]) columns[x] = rank;
  }
  const parts = ranks.map((kind, rank) => {
    const path = columns.map((found, x) => (found === rank ? `M${x + 0.5} 0v${3 + 3 * rank}` : "")).join("");
    return drawn("path", { d: path, class: `density-${kind}` });
  });
  place.replaceChildren(drawn("svg", { width: width + 1, height: 12, role: "presentation" }, ...parts));
}

function showEvents(i) {
  const first = Math.max(0, Math.min(i - 6, COUNT - MOST_ROWS));
  const rows = [];
  for (let j = first; j < Math.min(first + MOST_ROWS, COUNT); j++) {
    const inside = EVENTS.cause[j] >= 0;
    const isOther = PROCESSES.length > 1 && EVENTS.pid[j] !== chosen.process.number;
    const button = element("button", {
      type: "button", class: `row${inside ? " inside" : ""}${isOther ? " other" : ""}`, "aria-current": j === i ? "true" : null,
      onclick: () => go(j),
    },
      element("span", { class: "n", text: number(EVENTS.n[j]) }),
      element("span", { class: `glyph ${kindOf(j)}`, "aria-hidden": "true", text: GLYPHS[kindOf(j)] }),
      element("span", { class: "steps-of", text: stepOf(j) }),
      element("span", { class: "told", text: sentenceOf(j) }));
    rows.push(element("li", {}, button));
  }
  document.getElementById("events").replaceChildren(...rows);
}
