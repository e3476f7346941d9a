// Points of the charts: numbers only, nothing is drawn here. The program keeps one a second for ten
// minutes, the page adds one for each state.

/** How far back charts go, ms: as far as the program remembers. */
export const KEPT = 10 * 60 * 1000;
/** Growth is measured over this at least, ms: from one state to the next it would jump. */
const OVER = 500;
/** Points that are further apart, ms, have a hole between them. */
const HOLE = 3500;

/** The point of a state, in the form of `/api/history`. */
export function point(state) {
  const { counters = {}, latency, feed } = state;
  return {
    at: state.now,
    feed: feed?.state,
    packets: counters.packets,
    recovered: counters.recovered,
    missing: state.missing,
    gaps: counters.gaps,
    lost: counters.lost,
    resend_p50_ms: latency?.count ? latency.resend_p50_ms : undefined,
    resend_p99_ms: latency?.count ? latency.resend_p99_ms : undefined,
    dropped: counters.dropped,
    resent: counters.dropped == null ? undefined : counters.resent,
    behind: state.behind,
  };
}

/** Points in order of time. */
export class Points {
  list = [];

  add(one) {
    this.list.push(one);
    while (this.list[0].at < one.at - KEPT) this.list.shift();
  }

  /** Puts what the program remembers where the page has nothing; true if that was anything. */
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

  /** Growth of a counter a second, up to the point with this index; null where it is not known. */
  growth(index, name) {
    const now = this.list[index];
    let before = index - 1;
    while (before > 0 && this.list[before].at > now.at - OVER) before -= 1;
    const then = this.list[before];
    if (!then || now[name] == null || then[name] == null) return null;
    const past = now.at - then.at;
    // A counter that fell is of another recording.
    if (past <= 0 || past > HOLE || now[name] < then[name]) return null;
    return ((now[name] - then[name]) * 1000) / past;
  }

  /** By how much a counter grew from the point before this one to it. */
  step(index, name) {
    const [now, then] = [this.list[index]?.[name], this.list[index - 1]?.[name]];
    return now == null || then == null ? 0 : Math.max(0, now - then);
  }

  /** Whether the page has slept: the newest two points are far apart. */
  get holed() {
    const [then, now] = this.list.slice(-2);
    return now !== undefined && now.at - then.at > HOLE;
  }
}
