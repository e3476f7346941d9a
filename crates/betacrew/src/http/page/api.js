// Requests to the program, and the stream of its states.

import { time } from "./format.js";

let token = null;
try {
  token = sessionStorage.getItem("token");
} catch {
  // Storage may be forbidden.
}
let asking = null;

/** Asks for the token; resolves to false if cancelled. Concurrent requests share one dialog. */
function askForToken() {
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
        // Storage may be forbidden: the token is then kept until the page is left.
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

/** Sends a request, with the token if there is one. Asks for the token if the answer is 401. */
export async function request(path, options = {}) {
  for (;;) {
    const headers = { ...options.headers };
    const used = token;
    if (used) headers.authorization = `Bearer ${used}`;
    const answer = await fetch(path, { ...options, headers });
    if (answer.status !== 401) return answer;
    if (token === used && !(await askForToken())) return answer;
  }
}

/** Returns a JSON answer; throws an error with the program's message. */
export async function get(path, signal) {
  const answer = await request(path, { signal });
  if (!answer.ok) throw new Error(await refusal(answer));
  return answer.json();
}

/** Sends a command. Returns its effect in words; throws the refusal. */
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

/** Silence after which a stream is dead, ms. States arrive four times a second. */
const SILENCE = 5000;
/** Maximum pause between two attempts to connect, ms. */
const PAUSE_MAX = 5000;

/**
 * Receives states for ever. Passes each one to `onState`, and changes of the connection to
 * `onLink`: "connected", "busy", or "disconnected" with the time until the next attempt.
 */
export async function follow(onState, onLink) {
  let pause = 250;
  for (;;) {
    try {
      await listen((data) => {
        pause = 250;
        onLink("connected");
        try {
          onState(data);
        } catch (error) {
          console.error(error); // An error of the page, not of the connection.
        }
      }, () => onLink("busy"));
    } catch {
      // Reported below. The reason does not matter to a reader of the page.
    }
    onLink("disconnected", `trying again in ${time(pause)}`);
    await new Promise((later) => setTimeout(later, pause));
    pause = Math.min(pause * 2, PAUSE_MAX);
  }
}

async function listen(onState, onBusy) {
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
      // Only the newest counts, because a tab that slept has many waiting. A message without data
      // means that the program is too busy to publish its state.
      const newest = messages.findLast((message) => /^data:/m.test(message));
      if (newest !== undefined) onState(parse(newest));
      else if (messages.length > 0) onBusy();
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
