// Providers: who serves the models, with which credentials, and how each of them is.
import { html, useState } from "../lib.js";
import { send } from "../api.js";
import { Link, navigate, useQuery } from "../router.js";
import { useLoad } from "../use.js";
import { Action, Badge, Card, count, duration, Empty, Loaded, Page, Pager, percent, Select, Table, toast } from "../ui.js";
import { Command, Health, InFlight, Keys, LastCheck, OfFile, useLately } from "./condition.js";
import { NewProvider } from "./providers-form.js";
import { One } from "./providers-one.js";
import { Typed } from "./typed.js";

export default function Providers({ rest, session }) {
  return rest ? html`<${One} key=${rest} name=${rest} session=${session} />` : html`<${List} session=${session} />`;
}

const LEAD = "A provider is an account with a vendor, or a server of your own: where it is, what it speaks, and the credentials it takes.";
const FIRST = { name: "openai", preset: "openai", credentials: ["sk-…"] };

function List({ session }) {
  const [query, set] = useQuery();
  const from = useLoad("/admin/providers", { q: query.q, enabled: query.enabled, source: query.source, after: query.after, limit: 50, live: true }, { every: 5 });
  const lately = useLately("provider");
  const [adding, add] = useState(false);
  const filtered = query.q || query.enabled || query.source || query.after;
  const may = session.may("configure");
  const begin = may && html`<button class="primary" onClick=${() => add(true)}>Add provider</button>`;
  const of = (name) => lately.rows[name];
  const columns = [
    { name: "Provider", of: (one) => html`<span class="row"><${Link} to=${`/providers/${encodeURIComponent(one.name)}`}>${one.name}<//>${one.read_only && html`<${OfFile} />`}</span><span class="muted small">${one.preset || ""}</span>` },
    { name: "Health", of: (one) => html`<div class="stack tight"><div><${Health} live=${one.live} enabled=${one.enabled} /></div><span class="small"><${LastCheck} of=${one.live.last_check} /></span></div>` },
    { name: "Credentials", of: (one) => html`<${Keys} of=${one.live.credentials} />` },
    { name: "Serves", of: (one) => served(one.live) },
    { name: "In flight", num: true, of: (one) => html`<${InFlight} live=${one.live} />` },
    { name: "Requests, 1 h", num: true, of: (one) => count(lately.asked(one.name)) },
    { name: "Success", num: true, of: (one) => percent(of(one.name)?.success_rate) },
    { name: "TTFT p50", num: true, of: (one) => duration(of(one.name)?.ttft?.p50) },
    session.may("operate") && { name: html`<span class="hidden-visually">Actions</span>`, of: (one) => !one.read_only && html`<${Switch} path="/admin/providers" one=${one} name=${one.name} changed=${from.reload} />` },
  ].filter(Boolean);
  return html`
    <${Page} title="Providers" lead=${LEAD} actions=${begin}>
      <${Card}>
        <div class="filters">
          <${Typed} label="Name" name="q" query=${query} set=${set} type="search" placeholder="a part of it" />
          <${Select} label="State" value=${query.enabled || ""} options=${[["", "all"], ["true", "enabled"], ["false", "disabled"]]} onInput=${(enabled) => set({ enabled, after: "" })} />
          <${Select} label="From" value=${query.source || ""} options=${[["", "everywhere"], ["store", "added here"], ["file", "the file"]]} onInput=${(source) => set({ source, after: "" })} />
        </div>
        <${Loaded} from=${from} lines=${5}>${({ data, next }) => (data.length === 0
          ? filtered
            ? html`<${Empty} title="No provider fits">Change the filters above.<//>`
            : html`<${Empty} title="No providers yet" action=${html`${begin}<${Command} path="/admin/providers" body=${FIRST} />`}>Add the first one: choose its vendor from the presets and paste a key. Then give a model a deployment there.<//>`
          : html`<${Table} label="Providers" rows=${data} onPick=${(one) => navigate(`/providers/${encodeURIComponent(one.name)}`)} columns=${columns} /><${Pager} after=${query.after} next=${next} go=${(after) => set({ after })} />`)}<//>
      <//>
    <//>
    ${adding && html`<${NewProvider} onClose=${() => add(false)} onMade=${(one) => { add(false); navigate(`/providers/${encodeURIComponent(one.name)}`, { next: "model" }); }} />`}`;
}

function served(live) {
  const names = live.models || [];
  if (!names.length) return html`<span class="muted">nothing</span>`;
  return html`<span title=${names.join(", ")}>${names.length === 1 ? html`<span class="mono">${names[0]}</span>` : `${count(names.length)}${names.length >= 100 ? "+" : ""} models`}</span>`;
}

// On or off, and back: what was switched is switched back by the line that says so.
export function Switch({ path, one, name, changed, size = "small" }) {
  const put = async (enabled) => {
    await send("POST", `${path}/${encodeURIComponent(one.id)}/${enabled ? "enable" : "disable"}`);
    await changed();
  };
  const run = async () => {
    await put(!one.enabled);
    toast(`${name} is ${one.enabled ? "disabled: no new request goes there" : "enabled"}.`, { undo: () => put(one.enabled) });
  };
  return html`<${Action} class=${size} run=${run} aria-label=${`${one.enabled ? "Disable" : "Enable"} ${name}`}>${one.enabled ? "Disable" : "Enable"}<//>`;
}
