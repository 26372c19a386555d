// One request to the API by way of the admin listener, its answer as it comes, and what this visit has asked so far.
import { eachEvent, get, Problem, raw } from "../api.js";
import { blank, DIALECTS } from "./playground-dialects.js";

const MOST_EVENTS = 2000;
const MOST_RUNS = 30;

// Of this visit: until the page is loaded anew. Nothing of it is kept in the browser.
export const visit = { key: null, form: null, edited: null, runs: [] };
let numbers = 0;

// Sends a request; `changed` is called when there is more to show. The run says how it goes: state "waiting", "streaming",
// "done", "failed", "stopped"; times in milliseconds since it was sent.
export function start({ dialect, model, body, stream, key, changed }) {
  const control = new AbortController();
  const run = {
    number: ++numbers, dialect, model, body, stream, asked: stream, at: Date.now() / 1000, state: "waiting", status: null, error: null,
    answer: blank(), events: [], skipped: 0, headers: [], text: "", first: null, last: null, total: null, log: null,
    stop: () => control.abort(),
  };
  visit.runs = [run, ...visit.runs].slice(0, MOST_RUNS);
  go(run, key, control.signal, changed);
  return run;
}

async function go(run, key, signal, changed) {
  const began = performance.now();
  const since = () => performance.now() - began;
  try {
    const headers = { "content-type": "application/json", ...(key ? { "x-headrace-playground-key": key } : {}) };
    const path = `/admin/playground${DIALECTS[run.dialect].path(run.model, run.stream)}`;
    const response = await raw(path, { method: "POST", headers, body: run.body, signal }, { relayed: true });
    run.status = response.status;
    run.headers = [...response.headers].sort();
    run.state = "streaming";
    changed();
    run.stream = (response.headers.get("content-type") || "").startsWith("text/event-stream");
    if (run.stream) await eachEvent(response.body, (one) => { hear(run, one, since()); changed(); }, { all: true });
    else await whole(run, response, since);
    run.state = response.ok && !run.answer.failure ? "done" : "failed";
  } catch (error) {
    run.state = signal.aborted ? "stopped" : "failed";
    if (!signal.aborted) run.error = error instanceof Problem ? error : new Problem(0, { detail: "The answer was cut in the middle: the API, or the provider behind it, ended the connection." });
  }
  run.total = since();
  changed();
  await logged(run, changed);
}

function hear(run, one, at) {
  if (run.events.length < MOST_EVENTS) run.events.push({ at, text: one.text });
  else run.skipped += 1;
  if (!one.data || one.data === "[DONE]") return;
  let data;
  try { data = JSON.parse(one.data); } catch { return; }
  take(run, data, at);
}

function take(run, data, at) {
  const { answer } = run;
  const before = answer.text.length + answer.thought.length + answer.tools.length;
  DIALECTS[run.dialect].read(data, answer);
  if (answer.text.length + answer.thought.length + answer.tools.length === before) return;
  run.first ??= at;
  run.last = at;
}

async function whole(run, response, since) {
  run.text = await response.text();
  run.events.push({ at: since(), text: run.text });
  try { take(run, JSON.parse(run.text), since()); } catch { /* shown as it is */ }
  if (!response.ok && !run.answer.failure) run.answer.failure = run.text || "The answer has no body.";
}

// What was booked for it: known a moment after the end, and to those who keep a store.
async function logged(run, changed) {
  const id = header(run, "x-request-id");
  // What was refused at the door is in no log.
  if (!id || run.error?.status || [401, 404].includes(run.status)) return;
  for (let n = 0; n < 6; n += 1) {
    await new Promise((go) => setTimeout(go, 250 * (n + 1)));
    try {
      const found = await get(`/admin/logs/${encodeURIComponent(id)}`);
      if (found.state === "ended") { run.log = found; changed(); return; }
    } catch (error) {
      if (error.status !== 404) return;
    }
  }
}

export const header = (run, name) => run.headers.find(([one]) => one === name)?.[1] ?? null;

// Output tokens a second, between the first and the last of them.
export function speed(run) {
  const output = run.answer.output ?? run.log?.output;
  if (!run.stream || !output || run.first === null || run.last - run.first < 1) return null;
  return (output - 1) / ((run.last - run.first) / 1000);
}
