// Models: the names clients ask for, and who serves each.
import { html, useState } from "../lib.js";
import { Link, navigate, useQuery } from "../router.js";
import { useLoad } from "../use.js";
import { Card, count, duration, Empty, Loaded, money, Page, Pager, percent, Select, Table } from "../ui.js";
import { Command, Health, InFlight, OfFile, useLately } from "./condition.js";
import { enc } from "./fields.js";
import { NewModel } from "./models-form.js";
import { One } from "./models-one.js";
import { Typed } from "./typed.js";

export default function Models({ rest, session }) {
  return rest ? html`<${One} key=${rest} name=${rest} session=${session} />` : html`<${List} session=${session} />`;
}

const LEAD = "A model is a name that clients ask for. Behind it are deployments: providers, each with its own name for it, in order of priority.";
const FIRST = { name: "fast", deployments: [{ provider: "openai", model: "gpt-4o-mini" }] };

function List({ session }) {
  const [query, set] = useQuery();
  const from = useLoad("/admin/models", { q: query.q, source: query.source, after: query.after, limit: 50, live: true }, { every: 5 });
  const lately = useLately("model");
  const [adding, add] = useState(false);
  const begin = session.may("operate") && html`<button class="primary" onClick=${() => add(true)}>Add model</button>`;
  const of = (one) => lately.rows[one.name];
  const to = (name) => `/models/${enc(name)}`;
  const columns = [
    { name: "Model", wide: true, of: (one) => html`<span class="row"><${Link} to=${to(one.name)}>${one.name}<//>${one.read_only && html`<${OfFile} />`}</span>${one.aliases?.length > 0 && html`<span class="muted small mono">${one.aliases.join(", ")}</span>`}` },
    { name: "Health", of: (one) => html`<${Health} live=${one.live} />` },
    { name: "Deployments", num: true, of: (one) => deployments(one.live) },
    { name: "Strategy", of: (one) => html`<span class="mono">${one.live.strategy || one.strategy || ""}</span>` },
    { name: "In flight", num: true, of: (one) => html`<${InFlight} live=${one.live} />` },
    { name: "Requests, 1 h", num: true, of: (one) => count(lately.asked(one.name)) },
    { name: "Success", num: true, of: (one) => percent(of(one)?.success_rate) },
    { name: "TTFT p50", num: true, of: (one) => duration(of(one)?.ttft?.p50) },
    { name: "Cost, 1 h", num: true, of: (one) => money(of(one)?.cost) },
  ];
  return html`
    <${Page} title="Models" lead=${LEAD} actions=${begin}>
      <${Card}>
        <div class="filters">
          <${Typed} label="Name" name="q" query=${query} set=${set} type="search" placeholder="a part of it" />
          <${Select} label="From" value=${query.source || ""} options=${[["", "everywhere"], ["store", "added here"], ["file", "the file"]]} onInput=${(source) => set({ source, after: "" })} />
        </div>
        <${Loaded} from=${from} lines=${5}>${({ data, next }) => (data.length === 0
          ? query.q || query.source || query.after
            ? html`<${Empty} title="No model fits">Change the filters above.<//>`
            : html`<${Empty} title="No models yet" action=${html`${begin}<${Command} path="/admin/models" body=${FIRST} />`}>Add a <${Link} to="/providers">provider<//> first, then give its model the name that clients are to use.<//>`
          : html`<${Table} label="Models" rows=${data} onPick=${(one) => navigate(to(one.name))} columns=${columns} /><${Pager} after=${query.after} next=${next} go=${(after) => set({ after })} />`)}<//>
      <//>
    <//>
    ${adding && html`<${NewModel} onClose=${() => add(false)} onMade=${(one) => { add(false); navigate(to(one.name), { next: "try" }); }} />`}`;
}

function deployments({ deployments: tally = {} }) {
  const all = Object.values(tally).reduce((sum, each) => sum + each, 0);
  return tally.healthy === all ? count(all) : `${count(tally.healthy || 0)} of ${count(all)} well`;
}
