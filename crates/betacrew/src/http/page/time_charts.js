// Charts of the last ten minutes. The program remembers the points, so that a reloaded page is not
// empty; the page adds one for each state.

import { chart } from "./chart.js";
import { CHARTS } from "./chart_definitions.js";
import { Markers } from "./chart_markers.js";
import { KEPT, point, Points } from "./chart_points.js";
import { get } from "./api.js";

export function timeCharts(root) {
  const shared = { points: new Points(), markers: new Markers(), started: 0 };
  let charts = [];
  let role = null;
  let asking = false;

  function build(name) {
    role = name;
    root.replaceChildren();
    charts = (CHARTS[role] ?? []).map((kind) => chart(root, kind, shared));
  }
  addEventListener("theme", () => charts.forEach((each) => each.draw()));

  async function loadHistory() {
    if (asking) return;
    asking = true;
    const { points } = shared;
    try {
      const history = await get("/api/history");
      if (points !== shared.points) return; // The program was restarted meanwhile.
      // The program's clock, not this machine's: they may differ.
      shared.markers.add(history.events, points.list.at(-1).at - KEPT);
      points.fill(history.points);
      charts.forEach((each) => each.reload());
    } catch {
      // The event stream notices that the program is gone, and reports it.
    } finally {
      asking = false;
      if (points !== shared.points) loadHistory();
    }
  }

  return {
    /** Clears the charts after a restart of the program. A new session is only an event in them. */
    reset(what) {
      if (what !== "run") return;
      shared.points = new Points();
      shared.markers.clear();
      if (role) build(role);
    },
    update(state) {
      if (state.role !== role) build(state.role);
      shared.started = state.started;
      shared.markers.add(state.events ?? [], state.now - KEPT);
      const fresh = shared.points.list.length === 0;
      shared.points.add(point(state));
      charts.forEach((each) => each.add());
      if (fresh || shared.points.hasHole) loadHistory();
    },
  };
}
