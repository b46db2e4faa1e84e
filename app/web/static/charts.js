// The charts of an objective and of an incident, drawn by uPlot; data from the API, new every 15 s.
"use strict";

const DAY = 86400;
const RANGES = [["24 h", DAY], ["7 d", 7 * DAY], ["30 d", 30 * DAY]];
const EVERY_MS = 15_000;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const units = {
  ratio: (value) => `${+(value * 100).toFixed(3)} %`,
  ms: (value) => `${+(value / 1000).toFixed(2)} s`,
  MB: (value) => `${Math.round(value)} MB`,
};
const in_ = (unit) => (value) => (value == null ? "–" : units[unit](value));

const utc = (at) => new Date(at * 1000).toISOString().slice(0, 16).replace("T", " ");

const times = (series, from = Date.parse) => {
  const begin = (typeof series.begin === "number" ? series.begin : from(series.begin)) / 1000;
  return Array.from({ length: series.length }, (_, n) => begin + n * series.step_s);
};

// Incidents are shaded behind the lines.
const shading = (marks) => ({
  hooks: {
    drawClear: [(chart) => {
      const { ctx, bbox } = chart;
      for (const { begin, end, severity } of marks()) {
        const left = chart.valToPos(begin, "x", true);
        const right = Math.max(left + 2, chart.valToPos(end, "x", true));
        if (right < bbox.left || left > bbox.left + bbox.width) continue;
        ctx.fillStyle = colour(severity === "P1" ? "--bad-mark" : "--warn-mark");
        const from = Math.max(left, bbox.left);
        ctx.fillRect(from, bbox.top, Math.min(right, bbox.left + bbox.width) - from, bbox.height);
      }
    }],
  },
});

const axis = (more) => ({
  stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, ...more,
});

// A clear range around the values and the limit, so that a flat line is a flat line.
const around = (limit, low, high) => (chart, min, max) => {
  const known = [min, max, limit].filter((value) => value != null);
  const bottom = Math.max(low, Math.min(...known));
  const top = Math.min(high, Math.max(...known));
  const room = (top - bottom || Math.abs(top) || 1) * 0.1;
  return [Math.max(low, bottom - room), Math.min(high + room / 4, top + room)];
};

// 24 hours, whatever the browser's language
const clock = [
  [DAY * 365, "{YYYY}", null, null, null, null, null, null, 1],
  [DAY * 28, "{MMM}", "\n{YYYY}", null, null, null, null, null, 1],
  [DAY, "{D} {MMM}", null, null, null, null, null, null, 1],
  [60, "{HH}:{mm}", "\n{D} {MMM}", null, "\n{D} {MMM}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{D} {MMM}", null, null, null, null, null, 1],
];

const options = (box, { label, unit, limit, low, high, fill, marks, target }) => ({
  width: box.clientWidth,
  height: 260,
  tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
  cursor: { drag: { x: true, y: false } },
  legend: { live: true },
  scales: { y: { range: around(limit, low, high) } },
  axes: [axis({ space: 70, values: clock }), axis({ size: 76, values: (_, found) => found.map(in_(unit)) })],
  plugins: [shading(marks)],
  series: [
    { label: "UTC", value: (_, at) => (at == null ? "–" : utc(at)) },
    {
      label, stroke: colour("--link"), width: 1.75, value: (_, value) => in_(unit)(value),
      fill: fill ? colour("--link-wash") : undefined, spanGaps: true, points: { show: false },
    },
    {
      label: target, stroke: colour("--warn"), width: 1.25, dash: [6, 4],
      value: (_, value) => in_(unit)(value), points: { show: false },
    },
  ],
});

const get = async (path) => {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
};

const flat = (xs, value) => xs.map(() => value);

const sli = async (box) => {
  const found = await get(`/api/history?slo=${encodeURIComponent(box.dataset.slo)}`);
  const range = +(box.dataset.range ?? RANGES[0][1]);
  const series = range <= DAY ? found.steps : found.hours;
  const end = Date.parse(found.asOf) / 1000;
  const xs = times({ ...series, length: series.value.length });
  const first = xs.findIndex((x) => x >= end - range);
  const from = first < 0 ? xs.length : first;
  const now = end;
  return {
    data: [xs.slice(from), series.value.slice(from), flat(xs.slice(from), found.target)],
    label: { quantile: "P95", mean: "mean", distinct: "sound" }[found.kind] ?? "good",
    unit: found.unit,
    limit: found.target,
    low: 0,
    high: found.unit === "ratio" ? 1 : Infinity,
    target: "target",
    marks: found.incidents.map((one) => ({ ...one, begin: one.begin / 1000, end: (one.end ?? now * 1000) / 1000 })),
    words: `${range / DAY >= 1 ? `the last ${Math.round(range / DAY)} days` : "the last day"}, ${found.incidents.length} incidents`,
  };
};

const budget = async (box) => {
  const found = await get(`/api/history?slo=${encodeURIComponent(box.dataset.slo)}`);
  const { begin, step_s, remaining } = found.burndown;
  const xs = times({ begin: begin + step_s * 1000, step_s, length: remaining.length });
  const now = Date.parse(found.asOf) / 1000;
  if (xs.length) xs[xs.length - 1] = Math.min(xs.at(-1), now);
  return {
    data: [xs, remaining, flat(xs, 0)],
    label: "left", unit: "ratio", limit: 0, low: -Infinity, high: 1, fill: true, target: "spent",
    marks: found.incidents.map((one) => ({ ...one, begin: one.begin / 1000, end: (one.end ?? now * 1000) / 1000 })),
    words: `from ${in_("ratio")(remaining[0])} to ${in_("ratio")(remaining.at(-1))} left`,
  };
};

const incident = async (box) => {
  const found = await get(`/api/incidents/${encodeURIComponent(box.dataset.incident)}`);
  const series = found.evidence.series;
  const xs = times({ ...series, length: series.value.length });
  const begin = Date.parse(found.openedAt) / 1000;
  const end = found.resolvedAt ? Date.parse(found.resolvedAt) / 1000 : xs.at(-1) + series.step_s;
  const slow = box.dataset.kind === "quantile" || box.dataset.kind === "mean";
  return {
    data: [xs, series.value, flat(xs, null)],
    label: { quantile: "P95", mean: "mean", distinct: "sound" }[box.dataset.kind] ?? "good",
    unit: box.dataset.unit, limit: slow ? 0 : null, low: 0,
    high: box.dataset.unit === "ratio" ? 1 : Infinity, target: "",
    marks: [{ begin, end, severity: found.severity }],
    words: `${series.bad.reduce((sum, bad) => sum + bad, 0)} bad of ${series.total.reduce((sum, total) => sum + total, 0)} events`,
  };
};

const kinds = { sli, budget, incident };

const draw = async (box) => {
  let chosen;
  try {
    chosen = await kinds[box.dataset.chart](box);
  } catch {
    if (!box.chart) box.textContent = "The chart's data cannot be read just now.";
    return;
  }
  if (!chosen.data[0].length) {
    box.textContent = "Nothing to draw yet.";
    return;
  }
  box.marks = chosen.marks;
  box.setAttribute("role", "img");
  box.setAttribute("aria-label", `${chosen.label} over time: ${chosen.words}`);
  const scale = box.chart?.scales.x;
  const zoomed = scale && box.chart.data[0].length
    && (scale.min > box.chart.data[0][0] || scale.max < box.chart.data[0].at(-1));
  if (box.chart && box.drawn === box.dataset.range + matchMedia("(prefers-color-scheme: dark)").matches) {
    box.chart.setData(chosen.data, !zoomed);
    return;
  }
  box.chart?.destroy();
  box.textContent = "";
  box.drawn = box.dataset.range + matchMedia("(prefers-color-scheme: dark)").matches;
  const made = options(box, { ...chosen, marks: () => box.marks });
  if (!chosen.target) made.series.pop();
  box.chart = new uPlot(made, chosen.data.slice(0, made.series.length), box);
};

const ranges = (box) => {
  if (box.dataset.chart !== "sli" || box.previousElementSibling?.classList.contains("ranges")) return;
  const group = document.createElement("div");
  group.className = "ranges";
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "How far back");
  group.id = `${box.id}-ranges`;
  for (const [name, seconds] of RANGES) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    const chosen = +(box.dataset.range ?? RANGES[0][1]);
    button.setAttribute("aria-pressed", String(seconds === chosen));
    button.addEventListener("click", () => {
      box.dataset.range = seconds;
      for (const other of group.children) other.setAttribute("aria-pressed", String(other === button));
      draw(box);
    });
    group.append(button);
  }
  box.before(group);
};

const all = () => [...document.querySelectorAll(".chart[data-chart]")];
const start = () => all().forEach((box) => {
  ranges(box);
  if (!box.chart) draw(box);
});

start();
document.addEventListener("fresh", start);
setInterval(() => all().forEach(draw), EVERY_MS);
addEventListener("resize", () => all().forEach((box) => box.chart?.setSize({ width: box.clientWidth, height: 260 })));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => all().forEach(draw));
