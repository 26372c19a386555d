// Edits, field by field: what was there, and what will be.
import { html, useState } from "../lib.js";
import { Badge, count } from "../ui.js";

const MOST = 100;
const ACTIONS = { create: ["good", "new"], update: ["warn", "changed"], delete: ["bad", "deleted"] };

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value));

export function Differences({ edits }) {
  const [all, set] = useState(false);
  const some = all ? edits : edits.slice(0, MOST);
  return html`<div class="stack snug">${some.map((one, n) => html`<${Edit} key=${n} one=${one} />`)}
    ${some.length < edits.length && html`<div class="row"><button onClick=${() => set(true)}>Show ${count(edits.length - some.length)} more</button></div>`}</div>`;
}

function Edit({ one }) {
  const [tone, words] = ACTIONS[one.action];
  const head = html`<${Badge} tone=${tone}>${words}<//> ${one.kind} <strong>${one.name}</strong> <code class="muted">${one.at}</code>`;
  if (!one.changes?.length) return html`<div class="edit">${head}</div>`;
  return html`<details class="edit" open=${one.action === "update"}><summary>${head}</summary>
    <div class="scroll" tabindex="0" role="region" aria-label="Fields of ${one.kind} ${one.name}"><table class="diff"><thead><tr><th scope="col">Field</th><th scope="col">Now</th><th scope="col">Then</th></tr></thead>
      <tbody>${one.changes.map((change) => html`<tr key=${change.field}><th scope="row"><code>${change.field}</code></th>
        <td>${change.before === null ? html`<span class="muted">–</span>` : html`<del>${shown(change.before)}</del>`}</td>
        <td>${change.after === null ? html`<span class="muted">–</span>` : html`<ins>${shown(change.after)}</ins>`}</td></tr>`)}</tbody></table></div></details>`;
}
