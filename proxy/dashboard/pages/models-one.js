// One model: its deployments in the order they are tried, who gets what share, and what happens when all fail.
import { html, useState } from "../lib.js";
import { Link, navigate, useQuery } from "../router.js";
import { useLoad } from "../use.js";
import { Card, count, duration, Empty, Facts, Loaded, money, Page, percent, Tile, Time, toast } from "../ui.js";
import { FileNotice, Health, InFlight, OfFile, useLately } from "./condition.js";
import { Delete } from "./deleting.js";
import { enc } from "./fields.js";
import { DeploymentForm, EditModel } from "./models-form.js";
import { Tiers } from "./models-tiers.js";
import { Try } from "./try.js";

export function One({ name, session }) {
  const from = useLoad(`/admin/models/${enc(name)}`, { live: true }, { every: 5 });
  const missing = from.error?.status === 404 && from.data === undefined;
  if (missing) return html`<${Page} title=${name}><${Empty} title="There is no such model" action=${html`<${Link} to="/models">All models<//>`}>It may have been renamed or deleted.<//><//>`;
  return html`<${Loaded} from=${from}>${(one) => html`<${Shown} one=${one} from=${from} session=${session} />`}<//>`;
}

function Shown({ one, from, session }) {
  const [query, ask] = useQuery();
  const [open, show] = useState(query.next === "try" ? "next" : null);
  const deployments = useLoad("/admin/deployments", { model: one.name, live: true, limit: 200 }, { every: 3 });
  const hour = useLately("model", { model: one.name });
  const lately = hour.rows[one.name];
  const close = () => { show(null); if (query.next) ask({ next: "" }, { replace: true }); };
  const again = () => Promise.all([from.reload(), deployments.reload()]);
  const operate = session.may("operate");
  const change = operate && !one.read_only;
  const served = deployments.data?.data.some((each) => each.live?.served);
  const actions = html`<div class="row">
    ${operate && served && html`<button onClick=${() => show("try")}>Test</button>`}
    <${Link} class="button" to="/playground" query=${{ model: one.name }}>Playground<//>
    ${change && html`<button onClick=${() => show("edit")}>Change</button><button class="danger" onClick=${() => show("delete")}>Delete</button>`}</div>`;
  return html`
    <${Page} title=${one.name} actions=${actions} lead=${html`<${Link} to="/models">Models<//> / ${one.name}`}>
      <div class="row"><${Health} live=${one.live} />${one.read_only && html`<${OfFile} />`}${one.aliases?.length > 0 && html`<span class="muted">also <code>${one.aliases.join(", ")}</code></span>`}</div>
      ${open === "next" && html`<div class="notice good row" role="status"><span><strong>${one.name} is added.</strong> Ask it something to see that it works.</span>${served && operate && html`<button class="primary" onClick=${() => show("try")}>Test it</button>`}<button class="plain" onClick=${close} aria-label="Dismiss">✕</button></div>`}
      ${one.read_only && html`<${FileNotice} what="model" />`}
      <div class="tiles">
        <${Tile} label="Requests, 1 h" value=${count(hour.asked(one.name))} note=${html`<${Link} to="/requests" query=${{ model: one.name }}>Show them<//>`} />
        <${Tile} label="Success" value=${percent(lately?.success_rate)} note=${lately?.failed ? `${count(lately.failed)} failed` : ""} />
        <${Tile} label="TTFT p50" value=${duration(lately?.ttft?.p50)} note=${lately?.ttft ? `p95 ${duration(lately.ttft.p95)}` : ""} />
        <${Tile} label="In flight" value=${html`<${InFlight} live=${one.live} />`} />
        <${Tile} label="Cost, 1 h" value=${money(lately?.cost)} />
      </div>
      <${Loaded} from=${deployments}>${({ data }) => html`<${Tiers} model=${one} rows=${data} session=${session} changed=${again} add=${() => show("add")} />`}<//>
      <${Card} title="When they fail"><${Facts} items=${facts(one)} /><//>
    <//>
    ${open === "edit" && html`<${EditModel} one=${one} reload=${again} onClose=${close} onSaved=${(made) => { close(); toast(`${made.name} is saved.`); if (made.name !== one.name) navigate(`/models/${enc(made.name)}`, {}, { replace: true }); else again(); }} />`}
    ${open === "delete" && html`<${Delete} path="/admin/models" one=${one} kind="model" name=${one.name} onClose=${close} onGone=${() => navigate("/models")}>Its ${count(deployments.data?.data.length)} deployments go with it. Clients that ask for it are refused.<//>`}
    ${open === "add" && html`<${DeploymentForm} one=${null} model=${one} onClose=${close} onSaved=${() => { close(); again(); }} />`}
    ${open === "try" && html`<${Try} title=${`Test ${one.name}`} deployments=${deployments.data.data} onClose=${close} />`}`;
}

const links = (names) => (names?.length ? html`<span class="row">${names.map((name, at) => html`<span key=${name}>${at > 0 && html`<span class="muted">→ </span>`}<${Link} to=${`/models/${enc(name)}`}>${name}<//></span>`)}</span>` : html`<span class="muted">none</span>`);

const facts = (one) => [
  ["Fallbacks", links(one.fallbacks)],
  ["When the prompt is too long", links(one.fallbacks_context)],
  ["When its content filter refuses", links(one.fallbacks_content)],
  one.models?.length > 0 && ["Uses deployments of", links(one.models)],
  ["Strategy", html`<code>${one.live.strategy || one.strategy || "as the defaults say"}</code>`],
  one.description && ["Description", one.description],
  one.updated && ["Changed", html`<${Time} at=${one.updated} /> (revision ${one.revision})`],
];
