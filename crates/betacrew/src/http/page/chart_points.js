// Points of the charts, without drawing. The program keeps one point a second for ten minutes; the
// page adds one for each state.

/** Period that charts show, ms: the period that the program remembers. */
export const KEPT = 10 * 60 * 1000;
/** Minimum period of a rate, ms. From one state to the next the rate would jump. */
const RATE_PERIOD = 500;
/** Distance between two points, ms, above which the charts show a hole. */
const HOLE = 3500;

/** Returns the point of a state, in the form of `/api/history`. */
export function point(state) {
  const { counters = {}, latency, feed } = state;
  return {
    at: state.now,
    feed: feed?.state,
    packets: counters.packets,
    recovered: counters.recovered,
    missing: state.missing,
    gaps: counters.gaps,
    abandoned: counters.abandoned,
    resend_p50_ms: latency?.count ? latency.resend_p50_ms : undefined,
    resend_p99_ms: latency?.count ? latency.resend_p99_ms : undefined,
    dropped: counters.dropped,
    resent: counters.dropped == null ? undefined : counters.resent,
    behind: state.behind,
  };
}

/** List of points in order of time. */
export class Points {
  list = [];

  add(one) {
    this.list.push(one);
    while (this.list[0].at < one.at - KEPT) this.list.shift();
  }

  /** Adds remembered points where the page has none. Returns whether any were added. */
  fill(remembered) {
    const own = this.list;
    let near = 0;
    const missing = remembered.filter(({ at }) => {
      while (near < own.length && own[near].at < at - 1000) near += 1;
      return near === own.length ? own.length === 0 : own[near].at > at + 1000;
    });
    if (missing.length === 0) return false;
    this.list = [...missing, ...own].sort((one, other) => one.at - other.at);
    return true;
  }

  /** Returns a counter's growth a second at the point `index`; null if it is not known. */
  growth(index, name) {
    const now = this.list[index];
    let before = index - 1;
    while (before > 0 && this.list[before].at > now.at - RATE_PERIOD) before -= 1;
    const then = this.list[before];
    if (!then || now[name] == null || then[name] == null) return null;
    const past = now.at - then.at;
    // A counter never falls, so a smaller value is of another recording.
    if (past <= 0 || past > HOLE || now[name] < then[name]) return null;
    return ((now[name] - then[name]) * 1000) / past;
  }

  /** Returns a counter's growth from the point before `index` to it. */
  step(index, name) {
    const [now, then] = [this.list[index]?.[name], this.list[index - 1]?.[name]];
    return now == null || then == null ? 0 : Math.max(0, now - then);
  }

  /** True if the newest two points are far apart, because the page has slept. */
  get hasHole() {
    const [then, now] = this.list.slice(-2);
    return now !== undefined && now.at - then.at > HOLE;
  }
}
