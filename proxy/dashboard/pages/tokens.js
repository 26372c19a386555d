// Tokens of programs: what scripts and pipelines present to the admin API.
import { html, useState } from "../lib.js";
import { send } from "../api.js";
import { useLoad } from "../use.js";
import { Badge, Card, Choice, Confirm, Empty, FormDialog, Loaded, Select, Table, Text, Time, toast } from "../ui.js";
import { Reveal } from "./keys.js";
import { ROLES } from "./users.js";

const DAY = 86_400;
const LIVES = [[30, "30 days"], [90, "90 days"], [365, "a year"]];

export function Tokens() {
  const from = useLoad("/admin/tokens");
  const [open, show] = useState(null);
  const [made, make] = useState(null);
  const over = (token) => token.expires < Date.now() / 1000;
  return html`<${Card} title="Tokens of programs" actions=${html`<button class="primary" onClick=${() => show("new")}>New token</button>`}>
    <${Loaded} from=${from}>${({ data }) => (data.length === 0
      ? html`<${Empty} title="No tokens yet">A deployment, a Prometheus or a script gets a token of its own, with a role, an end, and no more rights than it needs.<//>`
      : html`<${Table} label="Tokens" rows=${data} columns=${[
          { name: "Name", of: (token) => token.name }, { name: "Role", of: (token) => token.role },
          { name: "Team", of: (token) => token.team || html`<span class="muted">all</span>` },
          { name: "Token", of: (token) => html`<span class="mono muted">sk-hra-…${token.last4}</span>` },
          { name: "Ends", of: (token) => html`<${Time} at=${token.expires} />` },
          { name: "State", of: (token) => (over(token) ? html`<${Badge} tone="bad">expired<//>` : token.enabled ? html`<${Badge} tone="good">good<//>` : html`<${Badge} tone="bad">disabled<//>`) },
          { name: "", of: (token) => html`<div class="row end"><button class="small danger" onClick=${() => show(token)}>Revoke</button></div>` },
        ]} />`)}<//>
    ${open === "new" && html`<${New} onClose=${() => show(null)} onMade=${(token) => { show(null); make(token); from.reload(); }} />`}
    ${open && open !== "new" && html`<${Confirm} title=${`Revoke ${open.name}?`} action="Revoke" onClose=${() => show(null)} run=${async () => { await send("DELETE", `/admin/tokens/${open.id}`); toast("Revoked."); from.reload(); }}>It is refused at once, by all workers.<//>`}
    ${made && html`<${Reveal} made=${made} title="The new token" onClose=${() => make(null)} />`}
  <//>`;
}

function New({ onClose, onMade }) {
  const [form, set] = useState({ name: "", role: "viewer", team: "", days: 90 });
  const put = (name) => (value) => set({ ...form, [name]: value });
  const save = async () => {
    const expires = new Date(Date.now() + form.days * DAY * 1000).toISOString();
    onMade(await send("POST", "/admin/tokens", { name: form.name, role: form.role, team: form.team, expires }));
  };
  return html`<${FormDialog} title="New token" action="Make the token" save=${save} onClose=${onClose}>${(fault) => html`
    <${Text} label="Name" value=${form.name} onInput=${put("name")} fault=${fault("name")} autocomplete="off" />
    <${Select} label="Role" value=${form.role} options=${ROLES} onInput=${put("role")} fault=${fault("role")} />
    <${Text} label="Team" hint="Empty: all teams. A key manager needs one." value=${form.team} onInput=${put("team")} fault=${fault("team")} />
    <${Choice} label="Good for" value=${form.days} options=${LIVES} onInput=${put("days")} />`}<//>`;
}
