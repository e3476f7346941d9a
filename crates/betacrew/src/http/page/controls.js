// What goes wrong, changed while it runs: the exchange's page only.

import { get, post } from "./stream.js";
import { keep, mark, row, say } from "./table.js";
import { number } from "./words.js";

export function controls(root) {
  const find = (name) => root.querySelector(name);
  const answer = find(".answer");
  const [slider, exact] = [find("#drop"), find("#drop-exact")];
  const [scenario, toml] = [find("#scenario"), find("#toml")];
  const note = find(".note");
  const known = new Map(); // The catalogue, by name.
  let asked = false;
  let said = 0;

  /** Sends a command and shows what came of it. */
  async function act(path, body) {
    const mine = (said += 1);
    mark(answer, "data-is", "waiting");
    say(answer, "…");
    let [is, text] = ["done", ""];
    try {
      text = await post(path, body);
    } catch (error) {
      [is, text] = ["refused", error.message];
    }
    if (mine !== said) return;
    mark(answer, "data-is", is);
    say(answer, `${is === "done" ? "✓" : "✕"} ${text}`);
  }

  /** A number that was typed, or null and the field says what is wrong with it. */
  function typed(input) {
    const right = input.reportValidity() && input.value !== "";
    return right ? Number(input.value) : null;
  }

  function stall(which) {
    const time = typed(find("#stall"));
    if (time !== null) act("/api/stall", { ...which, for_ms: time });
  }

  const lose = () => typed(find("#lose"));
  const acts = {
    lose: () => lose() !== null && act("/api/lose", { next: lose() }),
    pause: () => act("/api/pause", {}),
    resume: () => act("/api/resume", {}),
    stall: () => stall({ all: true }),
    cut: () => act("/api/cut", { all: true, how: find("#cut").value }),
    scenario: () => scenario.reportValidity() && act("/api/faults", { scenario: scenario.value }),
    toml: () => act("/api/faults", { toml: toml.value }),
    clear: () => act("/api/faults", { clear: true }),
    fetch: text,
  };
  root.addEventListener("click", (event) => acts[event.target.closest("button")?.dataset.do]?.());
  find("#lose").addEventListener("keydown", (event) => event.key === "Enter" && acts.lose());

  // The slider and the field are one value; it is sent when it is let go of.
  let editing = 0;
  slider.addEventListener("input", () => {
    editing = Date.now();
    exact.value = slider.value;
  });
  exact.addEventListener("input", () => {
    editing = Date.now();
    slider.value = exact.value;
  });
  const drop = (event) => {
    const value = typed(event.target);
    if (value !== null) act("/api/faults", { drop: Number((value / 100).toPrecision(12)) });
  };
  slider.addEventListener("change", drop);
  exact.addEventListener("change", drop);

  function text() {
    if (scenario.reportValidity()) toml.value = known.get(scenario.value).toml;
  }

  async function catalogue() {
    asked = true;
    try {
      for (const each of await get("/api/scenarios")) {
        known.set(each.name, each);
        scenario.add(new Option(each.name, each.name));
      }
    } catch {
      asked = false; // Then with the next state.
    }
  }

  function inForce({ drop: rate = 0, rules = [], scenario: name, seed, paused, ...more }) {
    say(find("#scenario-about"), known.get(scenario.value)?.about ?? more.about ?? "");
    say(note, [name, seed != null && `seed ${seed}`].filter(Boolean).join(", "));
    const busy = document.activeElement === slider || document.activeElement === exact;
    if (Date.now() - editing > (busy ? 5000 : 1500)) {
      const percent = String(Number((rate * 100).toPrecision(6)));
      if (exact.value !== percent) exact.value = slider.value = percent;
    }
    find("[data-do=pause]").disabled = paused === true;
    find("[data-do=resume]").disabled = paused !== true;
    const numbered = rules.map((rule, index) => ({ ...rule, name: `${index} ${rule.text}` }));
    if (more.losing > 0) {
      numbered.push({ name: "losing", text: `lost by order: ${number(more.losing)} more`,
        struck: null });
    }
    const none = { name: "none", text: "nothing: every packet is sent", struck: null };
    keep(find(".rules tbody"), numbered.length ? numbered : [none], ({ name: key }) => key,
      () => row(["", "n"]), (line, rule) => {
        say(line.children[0], rule.text);
        say(line.children[1], rule.struck == null ? "" : number(rule.struck));
      });
  }

  return {
    /** Stalls or cuts one connection. */
    connection(what, id) {
      if (what === "cut") return act("/api/cut", { connection: id, how: find("#cut").value });
      stall({ connection: id });
    },
    update(state) {
      root.hidden = state.role !== "exchange";
      if (root.hidden) return;
      if (!asked) catalogue();
      inForce(state.faults ?? {});
    },
  };
}
