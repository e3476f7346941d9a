// State of the page's connection to the program, and the banner when it breaks or returns.

import { setAttr, setText } from "./dom.js";
import { clock } from "./format.js";

const WORDS = {
  connected: "Page connected",
  busy: "Program busy: this data is old",
  disconnected: "Page disconnected, retrying",
};
/** Time that a notice stays, ms. */
const NOTICE = 8000;

export function pageLink(root, banner) {
  let isDisconnected = false;
  let newest = null; // Time of the newest state.
  let hiding;

  function notice(text) {
    banner.hidden = false;
    setText(banner, text);
    clearTimeout(hiding);
    hiding = setTimeout(() => { banner.hidden = true; }, NOTICE);
  }

  return {
    /** Notes a state of time `at`; `isRestart` says that the program was restarted. */
    received(at, isRestart) {
      if (isDisconnected && isRestart) notice("The program was restarted. Tables start empty.");
      isDisconnected = false;
      newest = at;
    },
    /** Shows the connection's state, "connected", "busy" or "disconnected", and the next step. */
    changed(is, more) {
      setAttr(root, "data-is", is);
      setAttr(document.body, "data-link", is);
      setText(root, WORDS[is]);
      if (is === "connected" && isDisconnected) notice("Page connected again.");
      if (is !== "disconnected") return;
      isDisconnected = true;
      clearTimeout(hiding);
      banner.hidden = false;
      const old = newest === null ? "" : `; this data is from ${clock(newest)}`;
      setText(banner, `The program does not answer${old}; ${more}.`);
    },
  };
}
