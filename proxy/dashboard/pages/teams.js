// Teams: what all keys of one may take together.
import { html, useState } from "../lib.js";
import { Problem, send } from "../api.js";
import { Link } from "../router.js";
import { useLoad } from "../use.js";
import { Card, Confirm, count, Empty, FormDialog, Loaded, money, Table, Text, toast } from "../ui.js";
import { LimitFields, limitsBody, limitsOf } from "./limits-form.js";
import { OfFile } from "./condition.js";
import { Spend } from "./spend.js";
import { teamsOf } from "./keys.js";

const DAY = 86_400;

export function Teams({ session }) {
  const settings = useLoad("/admin/settings", { name: "teams" });
  const usage = useLoad("/admin/usage", { scope: "team", limit: 1000 }, { every: 10 });
  const week = useLoad("/admin/statistics", { group_by: "team", span: 0, since: Math.floor(Date.now() / 1000 / 3600) * 3600 - 7 * DAY });
  const [open, show] = useState(null);
  const may = session.may("configure");
  const spent = new Map((week.data?.data || []).map((one) => [one.team, one]));
  const taken = new Map((usage.data?.data || []).map((one) => [one.name, one]));
  const object = settings.data?.data.find((one) => one.name === "teams" && !one.read_only);
  const reload = () => { show(null); settings.reload(); usage.reload(); };
  return html`<${Card} title="Teams" actions=${may && html`<button class="primary" onClick=${() => show({ name: "" })}>Limit a team</button>`}>
    <${Loaded} from=${settings}>${(all) => {
      const limits = teamsOf(all);
      const names = [...new Set([...limits.keys(), ...spent.keys()])].filter(Boolean).sort();
      if (!names.length) return html`<${Empty} title="No teams yet">A team is a name that keys share. Give a key a team and it is counted here; limit the team and all of its keys share that limit.<//>`;
      return html`<${Table} label="Teams" rows=${names} keyOf=${(name) => name} columns=${[
        { name: "Team", of: (name) => html`<${Link} to="/keys" query=${{ team: name }}>${name}<//>${limits.get(name)?.filed && html` <${OfFile} />`}` },
        { name: "Limits", wide: true, of: (name) => html`<${Spend} usage=${taken.get(name)} known=${usage.data} />` },
        { name: "Requests, 7 days", num: true, of: (name) => count(week.data && (spent.get(name)?.requests ?? 0)) },
        { name: "Cost, 7 days", num: true, of: (name) => money(week.data && (spent.has(name) ? spent.get(name).cost : 0)) },
        { name: "", of: (name) => may && !limits.get(name)?.filed && html`<div class="row end">
            <button class="small" onClick=${() => show({ name, limits: limits.get(name)?.limits })}>Change</button>
            ${limits.has(name) && html`<button class="small danger" onClick=${() => show({ remove: name })}>Take limits away</button>`}</div>` },
      ]} />`;
    }}<//>
    ${open && !open.remove && html`<${Edit} it=${open} object=${object} onClose=${() => show(null)} onSaved=${reload} />`}
    ${open?.remove && html`<${Confirm} title=${`Take the limits of ${open.remove} away?`} action="Take away" onClose=${() => show(null)} run=${async () => { await write(object, { [open.remove]: null }); toast("Taken away."); reload(); }}>Its keys keep limits of their own.<//>`}
  <//>`;
}

async function write(object, changes) {
  if (object) return send("PATCH", `/admin/settings/${object.id}`, changes, { revision: object.revision });
  return send("POST", "/admin/settings", { name: "teams", ...changes });
}

function Edit({ it, object, onClose, onSaved }) {
  const [name, set] = useState(it.name);
  const [limits, setLimits] = useState(limitsOf(it.limits));
  const save = async () => {
    if (!name.trim()) throw new Problem(0, { detail: "The team needs a name.", errors: [{ field: "name", message: "expected a name" }] });
    if (name.trim() === "name") throw new Problem(0, { detail: "No team can be called so.", errors: [{ field: "name", message: "expected a name of its own" }] });
    await write(object, { [name.trim()]: limitsBody(limits) });
    toast("Saved.");
    onSaved();
  };
  return html`<${FormDialog} title=${it.name ? `Limits of ${it.name}` : "Limit a team"} save=${save} onClose=${onClose}>${(fault) => html`
    ${!it.name && html`<${Text} label="Team" value=${name} onInput=${set} fault=${fault("name") || fault(name.trim())} />`}
    <${LimitFields} form=${limits} set=${setLimits} fault=${(field) => fault(`${name}.${field}`) || fault(field)} />`}<//>`;
}
