// Table of the exchange's connections, with buttons to stall and cut them; and the list of events.

import { columnNames, make, setAttr, setText, syncChildren, tableRow } from "./dom.js";
import { bytes, clock, moment, number, time } from "./format.js";

/** Calls `act` with "stall" or "cut" and a connection's id. */
export function connections(root, act) {
  const body = root.querySelector("tbody");
  const note = root.querySelector(".note");
  const names = columnNames(root);
  body.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) act(button.dataset.do, Number(button.closest("tr").dataset.id));
  });
  return {
    update(state) {
      root.hidden = state.role !== "exchange";
      if (root.hidden) return;
      const list = state.connections ?? [];
      const total = state.connections_total ?? list.length;
      setText(note, total > list.length ? `${list.length} of ${number(total)}` : list.length ? ""
        : "no connections");
      syncChildren(body, list, ({ id }) => id, (one) => create(one, names), (line, connection) => {
        const { id, peer, kind, position, lag, packets, since, stalled } = connection;
        setAttr(line, "data-late", kind === "subscriber" && lag > 10000);
        setAttr(line, "data-stalled", stalled === true);
        const role = connection.protocol === "soup" ? `soup ${kind}` : kind;
        const text = [id, peer, stalled ? `${role}, stalled` : role, number(position),
          kind === "resend" ? "–" : number(lag), number(packets), bytes(connection.bytes),
          clock(since)];
        text.forEach((value, index) => setText(line.children[index], value));
        setAttr(line.children[7], "title", `${time(Math.max(0, state.now - since))} ago`);
      });
    },
  };
}

function create({ id, peer }, names) {
  const line = tableRow(["n", "peer", "", "n", "n", "n", "n", "n", "do"], names);
  line.dataset.id = id;
  for (const [name, text] of [["stall", "Stall"], ["cut", "Cut"]]) {
    line.lastChild.append(make("button", { type: "button", class: "small", "data-do": name, text,
      "aria-label": `${text} connection ${id}, ${peer}` }));
  }
  return line;
}

/** List of events, newest first. */
export function events(root) {
  const list = root.querySelector("ol");
  let count = 0;
  const names = new WeakMap();
  return {
    update(state) {
      const newest = [...(state.events ?? [])].sort((one, other) => other.at - one.at);
      // Two equal events may happen in one millisecond, so a number tells them apart.
      const seen = new Map();
      for (const event of newest) {
        const name = `${event.at} ${event.text}`;
        seen.set(name, (seen.get(name) ?? 0) + 1);
        names.set(event, `${name} ${seen.get(name)}`);
      }
      if (newest.length === 0 && count === 0) return;
      count = newest.length;
      syncChildren(list, newest, (event) => names.get(event),
        (event) => make("li", { "data-kind": event.kind }, make("time", { text: clock(event.at),
          title: moment(event.at, state.started),
          datetime: new Date(event.at).toISOString() }), make("span", { text: event.text })),
        () => {});
    },
  };
}
