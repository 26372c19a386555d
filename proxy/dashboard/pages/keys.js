// Virtual keys and teams: who may ask for what, how much of it, and what they have spent.
import { html, useEffect, useState } from "../lib.js";
import { send } from "../api.js";
import { Link, navigate, useQuery } from "../router.js";
import { useSession } from "../session.js";
import { useLoad } from "../use.js";
import { Action, Badge, Card, Choice, Confirm, Copy, count, Dialog, Empty, Facts, FormDialog, Loaded, money, Page, Pager, percent, Select, Table, Tabs, Text, Time, toast } from "../ui.js";
import { enc } from "./fields.js";
import { LimitFields, limitsBody, limitsOf } from "./limits-form.js";
import { Spend } from "./spend.js";
import { Teams } from "./teams.js";
import { Typed } from "./typed.js";

const DAY = 86_400;

export function state(key) {
  if (!key.enabled) return html`<${Badge} tone="bad">disabled<//>`;
  if (key.expires && ending(key) < Date.now() / 1000) return html`<${Badge} tone="bad">expired<//>`;
  return html`<${Badge} tone="good">good<//>`;
}
const list = (text) => text.split(/[\s,]+/).filter(Boolean);

// When a key ends, in Unix seconds. It is given as it was written: a number, in text too, or a date, in UTC unless it says else.
// null: never; NaN: in a way of writing that is read by the server alone.
function ending({ expires }) {
  if (!expires) return null;
  const text = String(expires).trim();
  if (typeof expires === "number" || /^\d{9,11}(\.\d+)?$/.test(text)) return Number(text);
  const [date, year, month, day, time = "00:00", zone = "Z"] = /^(\d{4})-?(\d\d)-?(\d\d)(?:.(\d\d:\d\d[\d:.]*)(Z|[+-]\d\d:?\d\d)?)?$/i.exec(text) || [];
  return date ? Date.parse(`${year}-${month}-${day}T${time}${zone.toUpperCase()}`) / 1000 : NaN;
}
const End = ({ of: key, relative }) => (Number.isNaN(ending(key)) ? key.expires : html`<${Time} at=${ending(key)} relative=${relative} />`);

export default function Keys({ rest, session }) {
  const [query, set] = useQuery();
  const [version, changed] = useState(0);
  const tab = query.tab || "keys";
  return html`
    <${Page} title="Keys and teams" lead="A virtual key is what an application presents. It says which models it may use, how much of them, and who pays.">
      <${Tabs} label="Keys or teams" value=${tab} options=${[["keys", "Keys"], ["teams", "Teams"]]} onInput=${(key) => navigate("/keys", key === "keys" ? {} : { tab: key })} />
      ${tab === "teams" ? html`<${Teams} session=${session} />` : html`<${List} version=${version} query=${query} set=${set} session=${session} />`}
      ${rest && html`<${One} id=${rest} onClose=${() => { changed(version + 1); navigate("/keys", query); }} />`}
    <//>`;
}

// `version`: another one has the list read anew.
function List({ version, query, set, session }) {
  const from = useLoad("/admin/keys", { q: query.q, team: query.team, enabled: query.enabled, after: query.after, limit: 50 });
  const ids = (from.data?.data || []).map((one) => one.id);
  const usage = useLoad(ids.length && session.may("read") ? "/admin/usage" : null, { scope: "key", ids: ids.join(","), limit: 1000 }, { every: 10 });
  const spent = useLoad(session.may("read") ? "/admin/statistics" : null, { group_by: "key", span: 0, since: Math.floor(Date.now() / 1000 / 3600) * 3600 - 7 * DAY });
  useEffect(() => { if (version) { from.reload(); usage.reload(); } }, [version]);
  const [made, make] = useState(null);
  const [adding, add] = useState(false);
  // (Of names that people choose there are maps: an object has a `constructor` that nobody put there.)
  const limited = new Map((usage.data?.data || []).map((one) => [one.id, one]));
  const weeks = new Map((spent.data?.data || []).map((one) => [one.key, one]));
  const filtered = query.q || query.team || query.enabled || query.after;
  return html`
    <${Card} title="Virtual keys" actions=${html`<button class="primary" onClick=${() => add(true)}>New key</button>`}>
      <div class="filters">
        <${Typed} label="Name" name="q" query=${query} set=${set} type="search" placeholder="a part of it" />
        <${Text} label="Team" value=${query.team} onInput=${(team) => set({ team, after: "" }, { replace: true })} type="search" />
        <${Select} label="State" value=${query.enabled || ""} options=${[["", "all"], ["true", "enabled"], ["false", "disabled"]]} onInput=${(enabled) => set({ enabled, after: "" })} />
      </div>
      <${Loaded} from=${from} lines=${5}>${({ data, next }) => (data.length === 0
        ? filtered
          ? html`<${Empty} title="No key fits">Change the filters above.<//>`
          : html`<${Empty} title="No keys yet" action=${html`<button class="primary" onClick=${() => add(true)}>Make the first key</button>`}>As long as there is none, whoever reaches the API may use it (auth.require: auto). With the first key, every request needs one.<//>`
        : html`<${Table} label="Virtual keys" rows=${data} onPick=${(key) => navigate(`/keys/${enc(key.id)}`, query)} columns=${[
            { name: "Name", wide: true, of: (key) => html`<${Link} to=${`/keys/${enc(key.id)}`} query=${query}>${key.name}<//>${key.read_only && html` <${Badge} title="From the configuration file">file<//>`}` },
            { name: "State", of: state },
            { name: "Team", of: (key) => key.team || html`<span class="muted">–</span>` },
            { name: "Models", of: (key) => html`<span class="mono">${key.models.slice(0, 3).join(", ")}${key.models.length > 3 ? ` +${key.models.length - 3}` : ""}</span>` },
            { name: "Limits", wide: true, of: (key) => html`<${Spend} usage=${limited.get(String(key.id))} known=${usage.data} />` },
            { name: "Requests, 7 days", num: true, of: (key) => count(spent.data && (weeks.get(key.name)?.requests ?? 0)) },
            { name: "Cost, 7 days", num: true, of: (key) => money(spent.data && (weeks.has(key.name) ? weeks.get(key.name).cost : 0)) },
            { name: "Ends", of: (key) => html`<${End} of=${key} />` },
          ]} /><${Pager} after=${query.after} next=${next} go=${(after) => set({ after })} />`)}<//>
    <//>
    ${adding && html`<${NewKey} onClose=${() => add(false)} onMade=${(key) => { add(false); make(key); from.reload(); usage.reload(); }} />`}
    ${made && html`<${Reveal} made=${made} onClose=${() => make(null)} />`}`;
}

// Shown once: the server keeps only what recognises it.
export function Reveal({ made, onClose, title = "The new key" }) {
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>This is the only time the key of <strong>${made.name}</strong> is shown. Copy it to where it is needed.</p>
    <div class="secret"><code data-secret>${made.key || made.token}</code><${Copy} text=${made.key || made.token} label="Copy key" /></div>
    ${made.warnings?.length > 0 && html`<div class="notice"><ul>${made.warnings.map((one) => html`<li>${one}</li>`)}</ul></div>`}
    <footer><button class="primary" onClick=${onClose}>I have it</button></footer>
  <//>`;
}

const blank = { name: "", team: "", models: "*", routes: "", cidrs: "", owner: "", expires: "" };
const texts = (key) => ({
  name: key.name, team: key.team || "", owner: key.owner || "", models: key.models.join(", "), routes: key.routes.join(", "),
  cidrs: key.cidrs.join(", "), expires: ending(key) ? local(ending(key) * 1000) : "",
});
// A moment as <input type="datetime-local"> has it: in the reader's zone.
function local(milliseconds) {
  const moment = new Date(milliseconds);
  return new Date(milliseconds - moment.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
const body = (form, limits) => ({
  name: form.name, team: form.team || null, owner: form.owner || null, models: list(form.models), routes: list(form.routes), cidrs: list(form.cidrs),
  expires: form.expires ? new Date(form.expires).toISOString() : null, ...limitsBody(limits),
});

function Fields({ form, set, limits, setLimits, fault }) {
  const put = (name) => (value) => set({ ...form, [name]: value });
  const { may } = useSession();
  const models = useLoad(may("read") ? "/admin/models" : null, { limit: 200 });
  const teams = useLoad(may("read") ? "/admin/settings" : null, { name: "teams" });
  return html`
    <${Text} label="Name" hint="In logs, metrics and bills." value=${form.name} onInput=${put("name")} fault=${fault("name")} required autocomplete="off" />
    <${Text} label="Models" hint="Names, or their beginnings followed by *. An asterisk alone is all." value=${form.models} onInput=${put("models")} fault=${fault("models") || fault("models[0]")} list="key-models" class="mono" />
    <datalist id="key-models">${(models.data?.data || []).map((one) => html`<option value=${one.name}></option>`)}</datalist>
    <div class="form two">
      <${Text} label="Team" hint="Shares the limits of that team." value=${form.team} onInput=${put("team")} fault=${fault("team")} list="key-teams" />
      <datalist id="key-teams">${[...teamsOf(teams.data).keys()].map((name) => html`<option value=${name}></option>`)}</datalist>
      <${Text} label="Good until" hint="Empty: for ever." type="datetime-local" value=${form.expires} onInput=${put("expires")} fault=${fault("expires")} />
    </div>
    <${LimitFields} form=${limits} set=${setLimits} fault=${fault} />
    <details><summary>Who, where and what for</summary><div class="stack inset">
      <${Text} label="Owner" value=${form.owner} onInput=${put("owner")} fault=${fault("owner")} />
      <${Text} label="Routes" hint="chat, embeddings, /v1/messages … Empty: all." value=${form.routes} onInput=${put("routes")} fault=${fault("routes") || fault("routes[0]")} class="mono" />
      <${Text} label="Networks of its clients" hint="10.0.0.0/8, … Empty: all." value=${form.cidrs} onInput=${put("cidrs")} fault=${fault("cidrs") || fault("cidrs[0]")} class="mono" />
    </div></details>`;
}

// Of a list of settings: {team: {limits, filed}}, as a map. `filed`: the file says it, and wins over the store.
export function teamsOf(settings) {
  const found = new Map();
  for (const setting of (settings?.data || []).filter((one) => one.name === "teams").sort((a, b) => a.read_only - b.read_only)) {
    const { id, kind, name, revision, created, updated, source, read_only, warnings, ...teams } = setting;
    for (const [team, limits] of Object.entries(teams)) found.set(team, { limits, filed: read_only });
  }
  return found;
}

function NewKey({ onClose, onMade }) {
  const [form, set] = useState(blank);
  const [limits, setLimits] = useState(limitsOf());
  const save = async () => onMade(await send("POST", "/admin/keys", body(form, limits)));
  return html`<${FormDialog} title="New key" action="Make the key" save=${save} onClose=${onClose}>${(fault) => html`<${Fields} ...${{ form, set, limits, setLimits, fault }} />`}<//>`;
}

function EditKey({ it, onClose, onSaved }) {
  const [first] = useState(texts(it));
  const [form, set] = useState(first);
  const [limits, setLimits] = useState(limitsOf(it));
  const save = async () => {
    const { expires, ...rest } = body(form, limits);
    // The field has no seconds: an end that nobody touched stays as it was written.
    await send("PATCH", `/admin/keys/${it.id}`, form.expires === first.expires ? rest : { ...rest, expires }, { revision: it.revision });
    onSaved();
  };
  return html`<${FormDialog} title=${`Change ${it.name}`} save=${save} onClose=${onClose}>${(fault) => html`<${Fields} ...${{ form, set, limits, setLimits, fault }} />`}<//>`;
}

function One({ id, onClose }) {
  const from = useLoad(`/admin/keys/${encodeURIComponent(id)}`);
  return html`<${Dialog} title=${from.data ? from.data.name : "Key"} onClose=${onClose} wide><${Loaded} from=${from}>${(key) => html`<${Detail} it=${key} reload=${from.reload} onClose=${onClose} />`}<//><//>`;
}

function Detail({ it, reload, onClose }) {
  const [open, show] = useState(null);
  const [made, make] = useState(null);
  const { may } = useSession();
  const usage = useLoad(may("read") ? "/admin/usage" : null, { scope: "key", name: it.name }, { every: 5 });
  const week = useLoad(may("read") ? "/admin/statistics" : null, { key: it.name, group_by: "model", span: 0, since: Math.floor(Date.now() / 1000 / 3600) * 3600 - 7 * DAY });
  const path = `/admin/keys/${it.id}`;
  const turn = async (enabled) => {
    await send("POST", `${path}/${enabled ? "enable" : "disable"}`);
    await reload();
    toast(enabled ? `${it.name} is good again.` : `${it.name} is refused from now on.`, { undo: () => turn(!enabled) });
  };
  return html`
    <div class="row">${state(it)}${it.read_only && html`<${Badge}>from the configuration file<//>`}<span class="muted">sk-…${it.last4 || "****"}</span></div>
    <${Facts} items=${[
      ["Team", it.team || "–"], ["Owner", it.owner || "–"], ["Models", html`<span class="mono">${it.models.join(", ")}</span>`],
      ["Routes", it.routes.length ? html`<span class="mono">${it.routes.join(", ")}</span>` : "all"],
      ["Networks", it.cidrs.length ? html`<span class="mono">${it.cidrs.join(", ")}</span>` : "all"],
      ["Good until", it.expires ? html`<${End} of=${it} relative=${false} />` : "for ever"],
      ["Limits", html`<${Spend} usage=${usage.data?.data[0]} known=${usage.data} />`],
      it.keys?.length > 1 && ["Keys in use", it.keys.map((one) => html`<div><code>…${one.last4}</code> ${one.until ? html`good until <${Time} at=${one.until} relative=${false} />` : ""}</div>`)],
      it.created && ["Made", html`<${Time} at=${it.created} />`],
    ]} />
    ${may("read") && html`<h3>The last seven days, by model</h3>
    <${Loaded} from=${week}>${({ data }) => (data.length
      ? html`<${Table} label="Use by model" rows=${data} keyOf=${(row) => row.model} columns=${[
          { name: "Model", of: (row) => html`<span class="mono">${row.model || "–"}</span>` }, { name: "Requests", num: true, of: (row) => count(row.requests) },
          { name: "Success", num: true, of: (row) => percent(row.success_rate) }, { name: "Tokens", num: true, of: (row) => count(row.tokens.total) }, { name: "Cost", num: true, of: (row) => money(row.cost) }]} />`
      : html`<p class="muted">It was not used.</p>`)}<//>`}
    <footer>
      ${may("read") && html`<${Link} class="button" to="/requests" query=${{ key: it.name }}>Its requests<//>`}
      ${!it.read_only && html`
        <button onClick=${() => show("edit")}>Change</button>
        <button onClick=${() => show("rotate")}>Replace key</button>
        <${Action} run=${() => turn(!it.enabled)}>${it.enabled ? "Disable" : "Enable"}<//>
        <button class="danger" onClick=${() => show("delete")}>Delete</button>`}
    </footer>
    ${open === "edit" && html`<${EditKey} it=${it} onClose=${() => show(null)} onSaved=${() => { show(null); reload(); toast("Saved."); }} />`}
    ${open === "rotate" && html`<${Rotate} it=${it} onClose=${() => show(null)} onMade=${(key) => { show(null); make(key); reload(); }} />`}
    ${open === "delete" && html`<${Confirm} title=${`Delete ${it.name}?`} word=${it.name} onClose=${() => show(null)} run=${async () => { await send("DELETE", path); toast(`${it.name} is deleted.`); onClose(); }}>Every application that presents this key is refused within a second. What it has used stays in the books. To be able to go back, disable it instead.<//>`}
    ${made && html`<${Reveal} made=${made} title="The key in its place" onClose=${() => make(null)} />`}`;
}

const OVERLAPS = [["0", "at once"], ["3600", "in an hour"], [String(DAY), "in a day"], [String(7 * DAY), "in a week"]];
function Rotate({ it, onClose, onMade }) {
  const [overlap, set] = useState("3600");
  const save = async () => onMade(await send("POST", `/admin/keys/${it.id}/rotate`, { overlap: Number(overlap) }, { revision: it.revision }));
  return html`<${FormDialog} title=${`Replace the key of ${it.name}`} action="Make another key" save=${save} onClose=${onClose}>${() => html`
    <p>A new key is made. When is the old one to end?</p><${Choice} label="The old key ends" value=${overlap} options=${OVERLAPS} onInput=${set} />`}<//>`;
}
