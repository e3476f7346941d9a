// One chart, drawn by uPlot: legend, lines, event markers, and a tip at the cursor.

import { drawGaps, drawMarkers, tip } from "./chart_markers.js";
import { KEPT } from "./chart_points.js";
import { make, setText } from "./dom.js";
import { clock, short } from "./format.js";

const { uPlot } = window;
/** Minimum period shown, s. */
const PERIOD_MIN = 60;

/** `shared` has the data of all charts: `points`, `markers`, and the time the program `started`. */
export function chart(root, kind, shared) {
  const lines = kind.level ? [...kind.lines, { ...kind.level, level: true }] : kind.lines;
  const values = lines.map(() => make("b", { text: "–" }));
  const legend = make("ul", { class: "legend" }, ...lines.map((line, index) =>
    make("li", { class: `${line.ink}${line.dash || line.level ? " dashed" : ""}`,
      text: `${line.name} ` }, values[index])));
  const body = make("div", { class: "chart", role: "img" });
  const tipBox = make("div", { class: "tip", hidden: "" });
  const head = make("div", { class: "head" }, make("h2", { text: kind.title }), legend);
  root.append(make("section", {}, head, body, tipBox));
  let data = [[], ...lines.map(() => [])];
  let plot = null;

  const rowOf = (index) => [shared.points.list[index].at / 1000,
    ...lines.map((line) => line.of(shared.points, index) ?? null)];

  function show(index) {
    const under = index ?? null;
    lines.forEach((line, each) => {
      const value = data[each + 1].at(under ?? -1);
      setText(values[each], line.level ? short(value) : kind.format(value));
    });
    tipBox.hidden = under === null || !(plot?.cursor.left >= 0);
    if (tipBox.hidden) return;
    setText(tipBox, tip(plot, shared.markers, shared.points, under, shared.started));
    const most = body.parentElement.clientWidth - tipBox.offsetWidth - 4;
    const left = body.offsetLeft + plot.bbox.left / devicePixelRatio + plot.cursor.left;
    tipBox.style.left = `${Math.max(4, Math.min(left + 12, most))}px`;
  }

  function draw() {
    plot?.destroy();
    plot = new uPlot(options(body, kind, lines, show, shared), data, body);
    bounds();
  }

  function bounds() {
    const now = data[0].at(-1) ?? Date.now() / 1000;
    plot.setScale("x", { max: now,
      min: Math.max(now - KEPT / 1000, Math.min(data[0][0] ?? now, now - PERIOD_MIN)) });
  }

  function shown() {
    if (document.hidden) return;
    if (!plot) draw();
    plot.setData(data, false);
    bounds();
    show(plot.cursor.idx);
    body.setAttribute("aria-label", `${kind.title} since ${clock(data[0][0] * 1000)}, now ${
      lines.map((line, index) => `${line.name} ${values[index].textContent}`).join(", ")}`);
  }

  new ResizeObserver(() => {
    const [width, height] = [body.clientWidth, body.clientHeight];
    if (plot && width && (plot.width !== width || plot.height !== height)) {
      plot.setSize({ width, height });
    }
  }).observe(body);

  return {
    /** Draws the chart anew after a change of colours. */
    draw: () => plot && draw(),
    /** Adds the newest point. */
    add() {
      rowOf(shared.points.list.length - 1).forEach((each, column) => data[column].push(each));
      const gone = data[0].length - shared.points.list.length;
      if (gone > 0) data.forEach((column) => column.splice(0, gone));
      shown();
    },
    /** Reads all points again, after older ones were added. */
    reload() {
      const rows = shared.points.list.map((_, index) => rowOf(index));
      data = [0, ...lines.map((_, index) => index + 1)]
        .map((column) => rows.map((each) => each[column]));
      shown();
    },
  };
}

function options(body, kind, lines, show, shared) {
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
    padding: [12, level ? 0 : 28, 0, 0],
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
    scales: { x: { time: true }, y: { range: upwards }, level: { range: upwards } },
    axes: [
      { ...axis, size: 24, gap: 4, space: 70, values: (_, at) => at.map((s) => clock(s * 1000)) },
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
    hooks: {
      setCursor: [(plot) => show(plot.cursor.idx)],
      draw: [(plot) => {
        if (kind.gaps) drawGaps(plot, shared.points, colour);
        drawMarkers(plot, shared.markers, colour);
      }],
    },
  };
}
