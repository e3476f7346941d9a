// Badge with the state of the feed. It is separate from the page's own connection to the program,
// which may work while no data arrives from the exchange.

import { setAttr, setText } from "./dom.js";
import { clock, moment, time } from "./format.js";

const since = (at) => `since ${clock(at)}`;
const lasting = (at, now) => `for ${time(Math.max(0, now - at))}`;

/** Tone, label and optional detail (start or duration) of each state. */
const STATES = {
  connecting: ["wait", "Connecting", since],
  recording: ["good", "Recording"],
  following: ["good", "Following"],
  silent: ["bad", "Silent", lasting],
  unreachable: ["bad", "Exchange unreachable", since],
  complete: ["good", "Complete", since],
  complete_so_far: ["good", "Complete so far", since],
  incomplete: ["bad", "Incomplete", since],
  no_client: ["wait", "No client"],
  idle: ["wait", "No stream open"],
  playing: ["good", "Playing"],
  stalled: ["bad", "Stalled", lasting],
  paused: ["bad", "Paused", since],
  down: ["bad", "Exchange down", since],
  over: ["wait", "Session over", since],
};

export function feedBadge(root) {
  // Screen readers announce only the label, because the time beside it changes four times a second.
  const [label, detail] = [root.querySelector(".what"), root.querySelector(".more")];
  return {
    update({ feed: { state, since: at }, now, started }) {
      const [tone, words, add] = STATES[state] ?? ["wait", state];
      root.hidden = false;
      setAttr(root, "data-is", state);
      setAttr(root, "data-tone", tone);
      setText(label, words);
      setText(detail, add ? add(at, now) : "");
      setAttr(root, "title", `${words} since ${moment(at, started)}`);
    },
  };
}
