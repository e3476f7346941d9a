// Controls of an exchange: faults, drops, pause, stalls and cuts.

import { get, post } from "./api.js";
import { setAttr, setText, syncChildren, tableRow } from "./dom.js";
import { number } from "./format.js";

export function faultControls(root) {
  const find = (name) => root.querySelector(name);
  const answer = find(".answer");
  const [slider, exact] = [find("#drop"), find("#drop-exact")];
  const [scenario, toml] = [find("#scenario"), find("#toml")];
  const note = find(".note");
  const known = new Map(); // Built-in scenarios, by name.
  let isLoaded = false;
  let said = 0;

  /** Sends a command and shows the answer. */
  async function act(path, body) {
    const mine = (said += 1);
    setAttr(answer, "data-is", "waiting");
    setText(answer, "…");
    let [is, text] = ["done", ""];
    try {
      text = await post(path, body);
    } catch (error) {
      [is, text] = ["refused", error.message];
    }
    if (mine !== said) return;
    setAttr(answer, "data-is", is);
    setText(answer, `${is === "done" ? "✓" : "✕"} ${text}`);
  }

  /** Returns the number in a field; or null, and the field shows what is wrong. */
  function typed(input) {
    const right = input.reportValidity() && input.value !== "";
    return right ? Number(input.value) : null;
  }

  function stall(which) {
    const time = typed(find("#stall"));
    if (time !== null) act("/api/stall", { ...which, for_ms: time });
  }

  const dropCount = () => typed(find("#drop-next"));
  const acts = {
    "drop-next": () => dropCount() !== null && act("/api/drop", { next: dropCount() }),
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
  find("#drop-next").addEventListener("keydown", (event) =>
    event.key === "Enter" && acts["drop-next"]());

  // Slider and field show one value. It is sent when the slider is released or the field is left.
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
    isLoaded = true;
    try {
      for (const each of await get("/api/scenarios")) {
        known.set(each.name, each);
        scenario.add(new Option(each.name, each.name));
      }
    } catch {
      isLoaded = false; // Tried again with the next state.
    }
  }

  function inForce({ drop: rate = 0, rules = [], scenario: name, seed, paused, ...more }) {
    setText(find("#scenario-about"), known.get(scenario.value)?.about ?? more.about ?? "");
    setText(note, [name, seed != null && `seed ${seed}`].filter(Boolean).join(", "));
    const busy = document.activeElement === slider || document.activeElement === exact;
    if (Date.now() - editing > (busy ? 5000 : 1500)) {
      const percent = String(Number((rate * 100).toPrecision(6)));
      if (exact.value !== percent) exact.value = slider.value = percent;
    }
    find("[data-do=pause]").disabled = paused === true;
    find("[data-do=resume]").disabled = paused !== true;
    const numbered = rules.map((rule, index) => ({ ...rule, name: `${index} ${rule.text}` }));
    if (more.drops_pending > 0) {
      numbered.push({ name: "pending", text: `drop the next ${number(more.drops_pending)} packets`,
        applied: null });
    }
    const none = { name: "none", text: "nothing: every packet is sent", applied: null };
    syncChildren(find(".rules tbody"), numbered.length ? numbered : [none], ({ name: key }) => key,
      () => tableRow(["", "n"]), (line, rule) => {
        setText(line.children[0], rule.text);
        setText(line.children[1], rule.applied == null ? "" : number(rule.applied));
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
      if (!isLoaded) catalogue();
      inForce(state.faults ?? {});
    },
  };
}
