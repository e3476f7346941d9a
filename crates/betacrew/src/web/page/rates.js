// What happens over time: the last five minutes, kept by the page. Drawn by uPlot.

import { make, say } from "./table.js";
import { short, time } from "./words.js";

const KEPT = 5 * 60 * 1000;
const { uPlot } = window;

/** A counter's growth a second. */
const growth = (name) => (state, before, seconds) => {
  const [now, then] = [state.counters?.[name], before?.counters?.[name]];
  return now == null || then == null ? null : Math.max(0, now - then) / seconds;
};

/** A latency, where something was recovered lately. */
const latency = (name) => (state) => (state.latency?.count ? state.latency[name] : null);

const perSecond = (value) => (value == null ? "–" : `${short(value)}/s`);

/** What is drawn for each role. A line is told from the next by its dashes, too. */
const CHARTS = {
  client: [
    { title: "Packets", say: perSecond, lines: [
      { name: "received", ink: "received", of: (state) => state.rates?.packets, fill: true }] },
    { title: "Losses", say: perSecond, lines: [
      { name: "recovered", ink: "recovered", of: growth("recovered") }],
      level: { name: "missing now", ink: "missing", of: (state) => state.missing } },
    { title: "Resend latency", say: time, axis: time, lines: [
      { name: "median", ink: "received", of: latency("resend_p50_ms") },
      { name: "99 %", ink: "missing", dash: [5, 3], of: latency("resend_p99_ms") },
    ] },
  ],
  exchange: [
    { title: "Packets", say: perSecond, lines: [
      { name: "sent", ink: "received", of: (state) => state.rates?.packets, fill: true }] },
    { title: "Losses", say: perSecond, lines: [
      { name: "dropped", ink: "missing", dash: [5, 3], of: growth("dropped") },
      { name: "resent", ink: "recovered", of: growth("resent") }] },
    { title: "Furthest behind", say: (value) => (value == null ? "–" : short(value)), lines: [
      { name: "packets", ink: "flight", fill: true, of: behind }] },
  ],
};

function behind(state) {
  const subscribers = state.connections?.filter(({ kind }) => kind === "subscriber") ?? [];
  return subscribers.length ? Math.max(...subscribers.map(({ lag }) => lag ?? 0)) : null;
}

/** Growth is over about a second: four times a second it would jump. */
const OVER = 1000;

export function rates(root) {
  let charts = [];
  let role = null;
  let recent = [];

  const build = (name) => {
    role = name;
    root.replaceChildren();
    charts = (CHARTS[role] ?? []).map((kind) => chart(root, kind));
  };
  addEventListener("theme", () => charts.forEach((each) => each.draw()));

  return {
    reset() {
      recent = [];
      if (role) build(role);
    },
    update(state) {
      if (state.role !== role) build(state.role);
      recent.push(state);
      while (recent.length > 2 && recent[1].now <= state.now - OVER) recent.shift();
      const before = recent.length > 1 ? recent[0] : null;
      const seconds = before ? Math.max(0.001, (state.now - before.now) / 1000) : 1;
      charts.forEach((each) => each.add(state, before, seconds));
    },
  };
}

function chart(root, kind) {
  const lines = kind.level ? [...kind.lines, { ...kind.level, level: true }] : kind.lines;
  const values = lines.map(() => make("b", { text: "–" }));
  const legend = make("ul", { class: "legend" }, ...lines.map((line, index) =>
    make("li", { class: `${line.ink}${line.dash || line.level ? " dashed" : ""}`, text: `${line.name} ` },
      values[index])));
  const body = make("div", { class: "chart", role: "img" });
  const head = make("div", { class: "head" }, make("h2", { text: kind.title }), legend);
  root.append(make("section", {}, head, body));
  const data = [[], ...lines.map(() => [])];
  let plot = null;

  const show = (index) => lines.forEach((line, each) => {
    const value = data[each + 1].at(index ?? -1);
    say(values[each], line.level ? short(value) : kind.say(value));
  });
  const draw = () => {
    plot?.destroy();
    plot = new uPlot(options(body, kind, lines, show), data, body);
    bounds();
  };
  const bounds = () => {
    const now = data[0].at(-1) ?? Date.now() / 1000;
    plot.setScale("x", { min: Math.max(now - KEPT / 1000, Math.min(data[0][0] ?? now, now - 60)),
      max: now });
  };
  new ResizeObserver(() => {
    const [width, height] = [body.clientWidth, body.clientHeight];
    if (plot && width && (plot.width !== width || plot.height !== height)) {
      plot.setSize({ width, height });
    }
  }).observe(body);

  return {
    draw: () => plot && draw(),
    add(state, before, seconds) {
      data[0].push(state.now / 1000);
      lines.forEach((line, index) => data[index + 1].push(line.of(state, before, seconds) ?? null));
      while (data[0][0] < (state.now - KEPT) / 1000) data.forEach((column) => column.shift());
      if (document.hidden) return;
      if (!plot) draw();
      plot.setData(data, false);
      bounds();
      if (plot.cursor.idx == null) show(null);
      body.setAttribute("aria-label", `${kind.title}: ${lines.map((line, index) =>
        `${line.name} ${values[index].textContent}`).join(", ")}`);
    },
  };
}

function options(body, kind, lines, show) {
  const style = getComputedStyle(body);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const font = `11px ${style.fontFamily}`;
  const axis = { stroke: colour("soft"), font, grid: { stroke: colour("grid"), width: 1 },
    ticks: { show: false } };
  const upwards = (_, __, most) => [0, most > 0 ? most * 1.15 : 1];
  const level = lines.some((line) => line.level);
  return {
    width: body.clientWidth,
    height: body.clientHeight,
    padding: [8, level ? 0 : 22, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: upwards }, level: { range: upwards } },
    axes: [
      { ...axis, size: 24, gap: 4, space: 70, values: (_, at) => at.map(clockShort) },
      { ...axis, size: 50, gap: 4, space: 28,
        values: (_, at) => at.map((each) => (kind.axis ?? short)(each)) },
      ...(level ? [{ ...axis, scale: "level", side: 1, size: 40, gap: 4, space: 28,
        grid: { show: false }, values: (_, at) => at.map((each) => short(each)) }] : []),
    ],
    series: [{}, ...lines.map((line) => ({
      label: line.name,
      scale: line.level ? "level" : "y",
      stroke: colour(line.ink),
      width: line.level ? 1 : 1.5,
      dash: line.level ? [2, 2] : line.dash,
      fill: line.fill ? `${colour(line.ink)}33` : undefined,
      points: { show: false },
      spanGaps: false,
    }))],
    hooks: { setCursor: [(plot) => show(plot.cursor.idx)] },
  };
}

const clockShort = (at) => new Date(at * 1000).toLocaleTimeString("en-GB", { hour12: false });
