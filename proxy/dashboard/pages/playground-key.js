// The virtual key a request is sent with: made for this visit, or pasted. It is in the memory of this page and nowhere else.
import { html, useState } from "../lib.js";
import { send } from "../api.js";
import { Action, Badge, Text, Time, toast } from "../ui.js";
import { visit } from "./playground-run.js";

const SECONDS = 3600;

async function made(session) {
  const expires = Date.now() / 1000 + SECONDS;
  const name = `playground-${Array.from(crypto.getRandomValues(new Uint8Array(4)), (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  const content = { name, expires: new Date(expires * 1000).toISOString().replace(/\.\d+/, "") };
  if (session.team) content.team = session.team;
  const key = await send("POST", "/admin/keys", content);
  return { id: key.id, name, last4: key.last4, expires, secret: key.key };
}

export function KeyOfVisit({ session, required, onChange }) {
  const key = visit.key;
  const [typed, type] = useState("");
  const use = (one) => { visit.key = one; type(""); onChange(); };
  const revoke = async () => {
    // One that somebody has deleted already is as good as revoked.
    try { await send("DELETE", `/admin/keys/${key.id}`); } catch (error) { if (error.status !== 404) throw error; }
    use(null);
    toast(`The key ${key.name} is revoked.`);
  };
  if (key) {
    return html`<div class="row" role="group" aria-label="Key">
      <span>Key</span><${Badge} tone="good">${key.name} …${key.last4}<//>
      ${key.expires && html`<span class="muted">ends <${Time} at=${key.expires} /></span>`}
      ${key.id ? html`<${Action} class="small danger" run=${revoke}>Revoke<//>` : html`<button type="button" class="small" onClick=${() => use(null)}>Forget</button>`}
    </div>`;
  }
  const paste = () => use({ id: null, name: "pasted", last4: typed.trim().slice(-4), expires: null, secret: typed.trim() });
  const enter = (event) => { if (event.key === "Enter" && typed.trim()) { event.preventDefault(); paste(); } };
  return html`<div class="stack snug" role="group" aria-label="Key">
    <div class="row bottom">
      ${session.may("keys") && html`<${Action} run=${async () => use(await made(session))}>Use a key of this visit<//>`}
      <div class="grow"><${Text} label=${session.may("keys") ? "or paste a virtual key" : "Virtual key"} type="password" value=${typed} onInput=${type} autocomplete="off" spellcheck=${false} onKeyDown=${enter} /></div>
      <button type="button" disabled=${!typed.trim()} onClick=${paste}>Use it</button>
    </div>
    <p class="muted small-print">${required
      ? "The API wants a virtual key. One of this visit is good for an hour and can be revoked here; either is forgotten when this page is loaded anew."
      : "The API answers without a key here. With one, its limits and its models hold."}</p>
  </div>`;
}
