// What happens over time: the last ten minutes. The program remembers them, so that a page that is
// loaded anew is not empty; the page adds what it sees.

import { chart } from "./chart.js";
import { CHARTS } from "./charts.js";
import { Markers } from "./markers.js";
import { KEPT, point, Points } from "./points.js";
import { get } from "./stream.js";

export function rates(root) {
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

  async function remember() {
    if (asking) return;
    asking = true;
    const { points } = shared;
    try {
      const history = await get("/api/history");
      if (points !== shared.points) return; // Another run began meanwhile.
      // The program's clock, not this machine's: they may differ.
      shared.markers.add(history.events, points.list.at(-1).at - KEPT);
      points.fill(history.points);
      charts.forEach((each) => each.renew());
    } catch {
      // The stream notices when the program is gone, and says so.
    } finally {
      asking = false;
      if (points !== shared.points) remember();
    }
  }

  return {
    /** Another start of the program; another session is one more thing that happened. */
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
      if (fresh || shared.points.holed) remember();
    },
  };
}
