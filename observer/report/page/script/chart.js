// Asked for, obtained from the kernel, resident: three numbers over the whole run, and where they stand at the moment.

const LINES = ["asked", "mapped", "resident"];
const chart = { height: 230, top: 12, bottom: 24, left: 58, right: 16 };

function seriesOf(process) {
  const { at, asked, heap, mapped, frames } = process.levels;
  return { at, asked, mapped: heap.map((bytes, k) => bytes + mapped[k]), resident: frames };
}

/** One point a column of the picture at most: a long run has many more levels than the picture has columns. */
function pathOf(at, values, x, y) {
  let path = `M${x(0).toFixed(1)} ${y(0).toFixed(1)}`;
  let column = -1, low = 0, high = 0, last = 0;
  const flush = () => {
    if (column < 0) return;
    path += `H${column}` + (low !== high ? `V${y(high).toFixed(1)}V${y(low).toFixed(1)}` : "") + `V${y(last).toFixed(1)}`;
  };
  for (let k = 0; k < at.length; k++) {
    const here = Math.round(x(at[k]));
    if (here !== column) {
      flush();
      column = here;
      low = high = values[k];
    }
    low = Math.min(low, values[k]);
    high = Math.max(high, values[k]);
    last = values[k];
  }
  flush();
  return `${path}H${x(COUNT - 1).toFixed(1)}`;
}

function largest(values) {
  let most = 0;
  for (const value of values) most = Math.max(most, value);
  return most;
}

function drawChart() {
  const place = document.getElementById("chart");
  const width = place.clientWidth;
  const series = seriesOf(chosen.process);
  const peaks = LINES.map((name) => largest(series[name]));
  const top = Math.max(...peaks, PAGE), least = Math.min(...peaks.filter((peak) => peak > 0), top);
  const isLog = top > 24 * least;
  const inner = chart.height - chart.top - chart.bottom;
  const scale = (value) => (isLog ? Math.log2(1 + value / 1024) / Math.log2(1 + top / 1024) : value / top);
  const x = (i) => chart.left + ((width - chart.left - chart.right) * i) / Math.max(COUNT - 1, 1);
  const y = (value) => chart.top + inner * (1 - scale(value));
  const parts = gridOf(top, isLog, width, y);
  LINES.forEach((name) => parts.push(drawn("path", { d: pathOf(series.at, series[name], x, y), class: `line-${name}` })));
  const marker = drawn("line", { y1: chart.top - 6, y2: chart.top + inner, class: "marker" });
  const dots = LINES.map((name) => drawn("circle", { r: 4, class: `dot-${name}` }));
  const made = drawn("svg", { width, height: chart.height, viewBox: `0 0 ${width} ${chart.height}`, role: "presentation" }, ...parts, marker, ...dots);
  made.addEventListener("click", (event) => {
    const share = (event.clientX - made.getBoundingClientRect().left - chart.left) / (width - chart.left - chart.right);
    go(Math.round(Math.max(0, Math.min(share, 1)) * (COUNT - 1)));
  });
  place.replaceChildren(made);
  document.getElementById("scale-note").textContent = isLog ? TEXT.log_scale : "";
  Object.assign(chart, { x, y, marker, dots });
}

function gridOf(top, isLog, width, y) {
  const values = [0];
  if (isLog) for (let value = 4096; value <= top; value *= 64) values.push(value);
  else {
    const step = 2 ** Math.ceil(Math.log2(top / 4));
    for (let value = step; value <= top; value += step) values.push(value);
  }
  const parts = values.flatMap((value) => {
    const text = drawn("text", { x: chart.left - 8, y: y(value) + 4, class: "tick", "text-anchor": "end" });
    text.textContent = value ? sizeText(value) : "0";
    return [drawn("line", { x1: chart.left, x2: width - chart.right, y1: y(value), y2: y(value), class: "grid" }), text];
  });
  const ends = [[0, "start"], [COUNT - 1, "end"]].map(([i, anchor]) => {
    const text = drawn("text", { x: anchor === "start" ? chart.left : width - chart.right, y: chart.height - 6, class: "tick", "text-anchor": anchor });
    text.textContent = filled(TEXT.event_n, number(EVENTS.n[i]));
    return text;
  });
  return [...parts, ...ends];
}

function showChart(i) {
  if (!chart.x) return;
  const level = levelAt(chosen.process, i);
  const values = { asked: level.asked, mapped: level.heap + level.mapped, resident: level.frames };
  const x = chart.x(i);
  chart.marker.setAttribute("x1", x);
  chart.marker.setAttribute("x2", x);
  LINES.forEach((name, k) => {
    chart.dots[k].setAttribute("cx", x);
    chart.dots[k].setAttribute("cy", chart.y(values[name]));
    document.getElementById(`value-${name}`).textContent = sizeText(values[name]);
  });
  document.getElementById("chart").setAttribute("aria-label",
    filled(TEXT.chart_label, number(EVENTS.n[i]), sizeText(values.asked), sizeText(values.mapped), sizeText(values.resident)));
}
