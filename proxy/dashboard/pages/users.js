// Users: people who sign in with a password.
import { html, useState } from "../lib.js";
import { send } from "../api.js";
import { useLoad } from "../use.js";
import { Action, Badge, Card, Check, Confirm, Dialog, Empty, FormDialog, Loaded, Select, Table, Text, Time, toast } from "../ui.js";

export const ROLES = [["viewer", "viewer: sees all but secrets"], ["key_manager", "key manager: keys of a team"], ["operator", "operator: models, switches, keys"], ["admin", "admin: everything but users"], ["owner", "owner: everything"], ["metrics", "metrics: the page of metrics alone"]];

export function Users() {
  const from = useLoad("/admin/users");
  const [open, show] = useState(null);
  const done = (text) => () => { show(null); from.reload(); toast(text); };
  return html`<${Card} title="Users" actions=${html`<button class="primary" onClick=${() => show({ act: "new" })}>New user</button>`}>
    <${Loaded} from=${from}>${({ data }) => (data.length === 0
      ? html`<${Empty} title="No users yet">Until there are some, the token of the configuration opens this page, and its account if it has one. Give everybody an account of their own: the audit then says who did what.<//>`
      : html`<${Table} label="Users" rows=${data} columns=${[
          { name: "Name", of: (user) => user.name },
          { name: "Role", of: (user) => user.role },
          { name: "Team", of: (user) => user.team || html`<span class="muted">all</span>` },
          { name: "State", of: (user) => (user.enabled ? html`<${Badge} tone="good">enabled<//>` : html`<${Badge} tone="bad">disabled<//>`) },
          { name: "Password of", of: (user) => html`<${Time} at=${user.password_changed} />` },
          { name: "", of: (user) => html`<div class="row end">
              <button class="small" onClick=${() => show({ act: "edit", user })}>Change</button>
              <button class="small" onClick=${() => show({ act: "sessions", user })}>Sessions</button>
              <button class="small danger" onClick=${() => show({ act: "delete", user })}>Delete</button></div>` },
        ]} />`)}<//>
    ${open?.act === "new" && html`<${Edit} onClose=${() => show(null)} onSaved=${done("The user can sign in.")} />`}
    ${open?.act === "edit" && html`<${Edit} user=${open.user} onClose=${() => show(null)} onSaved=${done("Saved.")} />`}
    ${open?.act === "sessions" && html`<${Sessions} user=${open.user} onClose=${() => show(null)} />`}
    ${open?.act === "delete" && html`<${Confirm} title=${`Delete ${open.user.name}?`} word=${open.user.name} onClose=${() => show(null)} run=${async () => { await send("DELETE", `/admin/users/${open.user.id}`); done("Deleted.")(); }}>All their sessions end. What they did stays in the audit.<//>`}
  <//>`;
}

function Edit({ user, onClose, onSaved }) {
  const [form, set] = useState({ name: user?.name || "", role: user?.role || "viewer", team: user?.team || "", enabled: user?.enabled ?? true, password: "" });
  const put = (name) => (value) => set({ ...form, [name]: value });
  const save = async () => {
    const { password, ...rest } = form;
    if (user) await send("PATCH", `/admin/users/${user.id}`, password ? form : rest);
    else await send("POST", "/admin/users", form);
    onSaved();
  };
  return html`<${FormDialog} title=${user ? `Change ${user.name}` : "New user"} save=${save} onClose=${onClose}>${(fault) => html`
    <${Text} label="Name" value=${form.name} onInput=${put("name")} fault=${fault("name")} autocomplete="off" />
    <${Select} label="Role" value=${form.role} options=${ROLES} onInput=${put("role")} fault=${fault("role")} />
    <${Text} label="Team" hint="Empty: all teams. Otherwise they see the keys and requests of this team alone." value=${form.team} onInput=${put("team")} fault=${fault("team")} />
    <${Text} label=${user ? "Another password" : "Password"} hint=${user ? "Empty: it stays. Another one ends all sessions." : "Twelve characters or more."} type="password" autocomplete="new-password" value=${form.password} onInput=${put("password")} fault=${fault("password")} />
    <${Check} label="May sign in" checked=${form.enabled} onInput=${put("enabled")} />`}<//>`;
}

function Sessions({ user, onClose }) {
  const from = useLoad(`/admin/users/${user.id}/sessions`);
  const end = async () => { await send("DELETE", `/admin/users/${user.id}/sessions`); await from.reload(); };
  return html`<${Dialog} title=${`Where ${user.name} is signed in`} onClose=${onClose} wide>
    <${Loaded} from=${from}>${({ data }) => (data.length === 0
      ? html`<p class="muted">Nowhere.</p>`
      : html`<${Table} label="Sessions" rows=${data} keyOf=${(row) => row.created} columns=${[
          { name: "Since", of: (row) => html`<${Time} at=${row.created} />` }, { name: "Last seen", of: (row) => html`<${Time} at=${row.seen} />` },
          { name: "From", of: (row) => html`<span class="mono">${row.peer}</span>` }, { name: "With", wide: true, of: (row) => html`<span class="muted">${row.agent}</span>` }]} />`)}<//>
    <footer><${Action} run=${async () => { await send("POST", `/admin/users/${user.id}/unlock`); }} done="Wrong passwords are forgotten.">Unlock<//><${Action} class="danger" run=${end} done="All sessions have ended.">End all<//></footer>
  <//>`;
}
