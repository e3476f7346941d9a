// The page's link to the program, and what is said when it comes and goes.

import { mark, say } from "./table.js";
import { clock } from "./words.js";

const WORDS = {
  live: "Page connected",
  busy: "Program busy: what you see is old",
  lost: "Page lost the program, retrying",
};
/** How long a notice stays, ms. */
const NOTICE = 8000;

export function link(root, banner) {
  let lost = false;
  let seen = null; // Of when the newest state is.
  let hiding;

  function notice(text) {
    banner.hidden = false;
    say(banner, text);
    clearTimeout(hiding);
    hiding = setTimeout(() => { banner.hidden = true; }, NOTICE);
  }

  return {
    /** A state of this time came; `again` says that it is of another start of the program. */
    heard(at, again) {
      if (lost && again) notice("The program was started again. Tables begin anew.");
      lost = false;
      seen = at;
    },
    /** What has become of the link: "live", "busy" or "lost", and what is done about it. */
    turned(is, more) {
      mark(root, "data-is", is);
      mark(document.body, "data-link", is);
      say(root, WORDS[is]);
      if (is === "live" && lost) notice("Page connected again.");
      if (is !== "lost") return;
      lost = true;
      clearTimeout(hiding);
      banner.hidden = false;
      const old = seen === null ? "" : `; what you see is of ${clock(seen)}`;
      say(banner, `The program does not answer${old}; ${more}.`);
    },
  };
}
