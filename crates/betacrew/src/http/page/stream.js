// What goes between page and program: requests, and the stream of states.

import { time } from "./words.js";

let token = null;
try {
  token = sessionStorage.getItem("token");
} catch {
  // Storage may be forbidden.
}
let asking = null;

/** Asks for the token; true once there is one. One dialog however many want it. */
function ask() {
  asking ??= new Promise((answer) => {
    const dialog = document.getElementById("token");
    const form = dialog.querySelector("form");
    const input = dialog.querySelector("input");
    const listening = new AbortController();
    const done = (given) => {
      listening.abort();
      asking = null;
      dialog.close();
      answer(given);
    };
    const { signal } = listening;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      token = input.value;
      input.value = "";
      try {
        sessionStorage.setItem("token", token);
      } catch {
        // Then until the page is left.
      }
      done(true);
    }, { signal });
    const cancel = dialog.querySelector("[data-do=cancel]");
    cancel.addEventListener("click", () => done(false), { signal });
    dialog.addEventListener("cancel", () => done(false), { signal });
    dialog.querySelector(".wrong").hidden = token === null;
    dialog.showModal();
  });
  return asking;
}

/** A request, with the token if there is one; asks for it where it is wanted. */
export async function request(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers };
    const used = token;
    if (used) headers.authorization = `Bearer ${used}`;
    const answer = await fetch(path, { ...options, headers });
    if (answer.status !== 401) return answer;
    if (token === used && !(await ask())) return answer;
  }
}

/** An answer in JSON; an error says what the program said. */
export async function get(path, signal) {
  const answer = await request(path, { signal });
  if (!answer.ok) throw new Error(await refusal(answer));
  return answer.json();
}

/** A command; gives back what was done, throws what was refused. */
export async function post(path, body) {
  let answer;
  try {
    answer = await request(path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new Error("The program does not answer. Is it still running?");
  }
  if (!answer.ok) throw new Error(await refusal(answer));
  return (await answer.json()).done;
}

async function refusal(answer) {
  try {
    const { error, allowed } = await answer.json();
    return allowed ? `${error}\nAllowed: ${allowed}` : error;
  } catch {
    return `${answer.status} ${answer.statusText}`;
  }
}

/** A stream that says nothing for so long is dead: it speaks four times a second. */
const SILENCE = 5000;
const PAUSE_MAX = 5000;

/**
 * Follows the states for ever: `state` is given each one, `link` what becomes of the connection
 * ("live", "busy", or "lost" and when it is tried again).
 */
export async function follow(state, link) {
  let pause = 250;
  for (;;) {
    try {
      await listen((data) => {
        pause = 250;
        link("live");
        try {
          state(data);
        } catch (error) {
          console.error(error); // The page's fault, not the connection's.
        }
      }, () => link("busy"));
    } catch {
      // Said below; why does not matter to who looks at the page.
    }
    link("lost", `trying again in ${time(pause)}`);
    await new Promise((later) => setTimeout(later, pause));
    pause = Math.min(pause * 2, PAUSE_MAX);
  }
}

async function listen(state, busy) {
  const ending = new AbortController();
  let watch;
  const alive = () => {
    clearTimeout(watch);
    watch = setTimeout(() => ending.abort(), SILENCE);
  };
  try {
    alive();
    const answer = await request("/api/events", { signal: ending.signal });
    if (!answer.ok) throw new Error(await refusal(answer));
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      alive();
      const messages = (rest + value).split(/\r?\n\r?\n/);
      rest = messages.pop();
      // Only the newest counts: a tab that was asleep has many waiting. Without data it says that
      // the program is too busy to tell its state.
      const newest = messages.findLast((message) => /^data:/m.test(message));
      if (newest !== undefined) state(parse(newest));
      else if (messages.length > 0) busy();
    }
  } finally {
    clearTimeout(watch);
    ending.abort();
  }
}

function parse(message) {
  const lines = message.split(/\r?\n/).filter((line) => line.startsWith("data:"));
  return JSON.parse(lines.map((line) => line.slice(5).trimStart()).join("\n"));
}
