// Forms of objects of the admin API: what has changed is sent and no more, and somebody who was quicker is not overwritten.
import { html, useState } from "../lib.js";
import { Problem, send } from "../api.js";
import { Area, FormDialog } from "../ui.js";

// What a page shows of an object and nobody sets.
const SHOWN = new Set(["id", "kind", "revision", "created", "updated", "source", "read_only", "set", "last4", "warnings", "live", "usage", "key", "problem"]);

export const enc = (name) => String(name).split("/").map(encodeURIComponent).join("/");
export const lines = (text) => text.split(/[\n,]+/).map((one) => one.trim()).filter(Boolean);
// Keys, one a line; a service account is one of many lines, as JSON.
export const secrets = (text) => (text.trim().startsWith("{") ? [text.trim()] : text.split("\n").map((one) => one.trim()).filter(Boolean));
export const whole = (text) => (String(text).trim() === "" ? null : Number(text));

// A change to one object. `body` has only what is to be different. Raises Problem; of a conflict it says what to do.
export async function patch(path, one, body) {
  try {
    return await send("PATCH", `${path}/${enc(one.id)}`, body, { revision: one.revision });
  } catch (error) {
    throw error.status === 412 ? new Conflict(error) : error;
  }
}

export class Conflict extends Problem {
  constructor(error) {
    super(412, { detail: "Somebody changed this meanwhile, so nothing was saved. Load it anew and make your change again.", type: error.code });
  }
}

// A form for one object: `saved` is called with what the server made of it, `reload` reads the object anew.
export function ObjectForm({ title, action, save, saved, reload, onClose, wide, children }) {
  const [stale, set] = useState(false);
  const go = async () => {
    try { saved(await save()); } catch (error) { set(error instanceof Conflict); throw error; }
  };
  return html`<${FormDialog} title=${title} action=${action} save=${go} onClose=${onClose} wide=${wide}>${(fault) => html`
    ${children(fault)}
    ${stale && reload && html`<div class="notice row"><span>There is a newer version.</span><button type="button" class="small" onClick=${async () => { await reload(); onClose(); }}>Close and load it anew</button></div>`}`}<//>`;
}

// The object as it was when its form was opened: a page reads on meanwhile, and what is written is meant for this version.
export const useOpened = (one) => useState(one)[0];

// What differs from `before`, field by field, as JSON says it; for PATCH.
export function different(before, after) {
  const found = {};
  for (const [name, value] of Object.entries(after)) {
    if (JSON.stringify(value ?? null) !== JSON.stringify(before[name] ?? null)) found[name] = value ?? null;
  }
  return found;
}

const plain = (value) => value === null || value === undefined || value === "" || (typeof value === "object" && Object.keys(value).length === 0);

// All fields that the form has no control for, as JSON. `known`: names of those that it has.
export function others(one, known) {
  const left = Object.entries(one).filter(([name, value]) => !SHOWN.has(name) && !known.includes(name) && !plain(value) && value !== false);
  return Object.fromEntries(left);
}

export function parsed(text) {
  const value = text.trim() ? JSON.parse(text) : {};
  if (typeof value !== "object" || Array.isArray(value) || value === null) throw new SyntaxError("an object is expected");
  return value;
}

// Raises Problem with a fault at `more` for what is no JSON object. What was taken out of the text is null: taken away.
export function merged(before, text) {
  let now;
  try { now = parsed(text); } catch (error) { throw new Problem(400, { detail: "The further fields are no JSON object.", errors: [{ field: "more", message: error.message }] }); }
  const gone = Object.fromEntries(Object.keys(before).filter((name) => !(name in now)).map((name) => [name, null]));
  return { ...gone, ...different(before, now) };
}

export const More = ({ value, onInput, fault, kind }) => html`<details><summary>Further fields</summary><div class="inset">
  <${Area} label="Further fields" class="mono" rows="6" spellcheck="false" value=${value} onInput=${onInput} fault=${fault("more")} hint=${html`JSON, with the words of the configuration file. <a href=${`/docs#tag/${kind}s`}>All fields of a ${kind}</a>.`} />
</div></details>`;
