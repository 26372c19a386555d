// Before an object goes: what names it is asked of the server, and shown, and goes along only when that is wanted.
import { html, useEffect, useState } from "../lib.js";
import { send } from "../api.js";
import { Confirm, Dialog, Failure, Loading, toast } from "../ui.js";
import { Conflict, enc, useOpened } from "./fields.js";

// kind: "provider"; name: what people call it; children: what belongs to it and always goes along, in words.
export function Delete({ path, one: now, kind, name, children, onClose, onGone }) {
  const one = useOpened(now);
  const [found, set] = useState(null);
  const url = `${path}/${enc(one.id)}`;
  useEffect(() => {
    let current = true;
    look(url).then((seen) => current && set(seen), (error) => current && set({ error }));
    return () => { current = false; };
  }, [url]);
  if (found === null) return html`<${Dialog} title=${`Delete ${name}?`} onClose=${onClose}><${Loading} lines=${2} /><//>`;
  if (found.error) return html`<${Dialog} title=${`Delete ${name}?`} onClose=${onClose}><${Failure} error=${found.error} /><footer><button onClick=${onClose}>Close</button></footer><//>`;
  const run = async () => {
    try {
      await send("DELETE", url, undefined, { revision: one.revision, parameters: found.named.length ? { cascade: true } : {} });
    } catch (error) { throw error.status === 412 ? new Conflict(error) : error; }
    toast(`The ${kind} ${name} is deleted.`);
    onGone();
  };
  return html`<${Confirm} title=${`Delete ${name}?`} action=${found.named.length ? "Delete all of it" : "Delete"} word=${found.named.length ? name : undefined} run=${run} onClose=${onClose}>
    ${found.named.length > 0 && html`<p>${found.cascade ? "This names it, and goes or is changed along:" : "This names it:"}</p><ul class="plainlist">${found.named.map((says) => html`<li>${says}</li>`)}</ul>`}
    ${children && html`<p>${children}</p>`}
    <p class="muted">Requests that are under way go on. This cannot be undone.</p>
  <//>`;
}

// What names it, by trying without changing anything.
async function look(url) {
  try {
    await send("DELETE", url, undefined, { parameters: { dry_run: true } });
    return { named: [] };
  } catch (error) {
    if (error.code !== "referenced") throw error;
    await send("DELETE", url, undefined, { parameters: { dry_run: true, cascade: true } });
    return { named: error.faults.map((fault) => fault.message), cascade: true };
  }
}
