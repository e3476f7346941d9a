// What the feed does, as a badge: apart from the page's own link to the program, which may be well
// while nothing comes from the exchange.

import { mark, say } from "./table.js";
import { clock, moment, time } from "./words.js";

const since = (at) => `since ${clock(at)}`;
const lasting = (at, now) => `for ${time(Math.max(0, now - at))}`;

/** For each state its tone, its words, and what is worth adding: since when, or for how long. */
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

export function feed(root) {
  // Only the word is announced: the time beside it changes four times a second.
  const [what, more] = [root.querySelector(".what"), root.querySelector(".more")];
  return {
    update({ feed: { state, since: at }, now, started }) {
      const [tone, words, add] = STATES[state] ?? ["wait", state];
      root.hidden = false;
      mark(root, "data-is", state);
      mark(root, "data-tone", tone);
      say(what, words);
      say(more, add ? add(at, now) : "");
      mark(root, "title", `${words} since ${moment(at, started)}`);
    },
  };
}
