// One provider: how it is and why, its credentials, and what it serves.
import { html, useState } from "../lib.js";
import { send } from "../api.js";
import { Link, navigate, useQuery } from "../router.js";
import { useLoad } from "../use.js";
import { Badge, Card, count, duration, Empty, Facts, FormDialog, Loaded, moment, money, Page, Pager, percent, Table, Text, Tile, Time, toast } from "../ui.js";
import { CAUSES, Countdown, FileNotice, Health, InFlight, KeyState, LastCheck, OfFile, useLately } from "./condition.js";
import { Delete } from "./deleting.js";
import { different, enc, merged, More, ObjectForm, others, patch, secrets, useOpened, whole } from "./fields.js";
import { EditProvider, Keys, warn } from "./providers-form.js";
import { NewModel } from "./models-form.js";
import { Usage } from "./quota.js";
import { Switch } from "./providers.js";
import { Restore, Try } from "./try.js";

export function One({ name, session }) {
  const [query, ask] = useQuery();
  const from = useLoad(`/admin/providers/${enc(name)}`, { live: true }, { every: 5 });
  if (from.error?.status === 404) return html`<${Missing} name=${name} />`;
  return html`<${Loaded} from=${from}>${(one) => (one.kind === "provider"
    ? html`<${Shown} one=${one} from=${from} session=${session} query=${query} ask=${ask} />`
    : html`<${Missing} name=${name} />`)}<//>`;
}

const Missing = ({ name }) => html`<${Page} title=${name}><${Empty} title="There is no such provider" action=${html`<${Link} to="/providers">All providers<//>`}>It may have been renamed or deleted.<//><//>`;

function Shown({ one, from, session, query, ask }) {
  const [open, show] = useState(null);
  const [after, go] = useState("");
  const credentials = useLoad("/admin/credentials", { provider: one.name, live: true, limit: 200, after }, { every: 5 });
  const deployments = useLoad("/admin/deployments", { provider: one.name, live: true, limit: 200 }, { every: 5 });
  const hour = useLately("provider", { provider: one.name });
  const lately = hour.rows[one.name];
  const close = () => show(null);
  const again = () => Promise.all([from.reload(), credentials.reload(), deployments.reload()]);
  const operate = session.may("operate");
  const configure = session.may("configure") && !one.read_only;
  const first = deployments.data?.data.find((each) => each.live?.served);
  const key = credentials.data?.data.find((each) => each.live.served);
  const actions = html`<div class="row">
    ${operate && (first || key) && html`<button onClick=${() => show("try")}>Test</button>`}
    ${operate && !one.read_only && html`<${Switch} path="/admin/providers" one=${one} name=${one.name} changed=${again} size="" />`}
    ${configure && html`<button onClick=${() => show("edit")}>Change</button><button class="danger" onClick=${() => show("delete")}>Delete</button>`}</div>`;
  return html`
    <${Page} title=${one.name} actions=${actions} lead=${html`<${Link} to="/providers">Providers<//> / ${one.name}`}>
      <div class="row"><${Health} live=${one.live} enabled=${one.enabled} />${one.read_only && html`<${OfFile} />`}${one.preset && html`<${Badge}>preset ${one.preset}<//>`}<${Why} one=${one} /></div>
      ${query.next === "model" && html`<${Next} one=${one} session=${session} add=${() => show("model")} done=${() => ask({ next: "" }, { replace: true })} />`}
      ${one.read_only && html`<${FileNotice} what="provider" />`}
      <div class="tiles">
        <${Tile} label="Requests, 1 h" value=${count(hour.asked(one.name))} note=${html`<${Link} to="/requests" query=${{ provider: one.name }}>Show them<//>`} />
        <${Tile} label="Success" value=${percent(lately?.success_rate)} note=${lately?.failed ? `${count(lately.failed)} failed` : ""} />
        <${Tile} label="TTFT p50" value=${duration(lately?.ttft?.p50)} note=${lately?.ttft ? `p95 ${duration(lately.ttft.p95)}` : ""} />
        <${Tile} label="In flight" value=${html`<${InFlight} live=${one.live} />`} />
        <${Tile} label="Cost, 1 h" value=${money(lately?.cost)} />
      </div>
      <${Credentials} one=${one} from=${credentials} after=${after} go=${go} session=${session} changed=${again} />
      <${Served} one=${one} from=${deployments} session=${session} add=${() => show("model")} changed=${again} />
      <${Card} title="What it is"><${Facts} items=${facts(one)} /><//>
    <//>
    ${open === "edit" && html`<${EditProvider} one=${one} reload=${again} onClose=${close} onSaved=${(made) => { close(); toast(`${made.name} is saved.`); if (made.name !== one.name) navigate(`/providers/${enc(made.name)}`, {}, { replace: true }); else again(); }} />`}
    ${open === "delete" && html`<${Delete} path="/admin/providers" one=${one} kind="provider" name=${one.name} onClose=${close} onGone=${() => navigate("/providers")}>${after || credentials.data?.next ? "All its" : count(credentials.data?.data.length)} credentials go with it.<//>`}
    ${open === "try" && html`<${Try} title=${`Test ${one.name}`} ...${first ? { deployments: deployments.data.data } : { credential: key }} onClose=${close} />`}
    ${open === "model" && html`<${NewModel} provider=${one.name} onClose=${close} onMade=${(made) => navigate(`/models/${enc(made.name)}`, { next: "try" })} />`}`;
}

const facts = (one) => [
  ["Address", html`${one.base_url ? html`<code>${one.base_url}</code>` : "as the preset has it"}${one.allow_private && html` <span class="muted">may be private or local</span>`}`],
  ["Speaks", one.dialects ? html`<span class="mono">${(Array.isArray(one.dialects) ? one.dialects : Object.keys(one.dialects)).join(", ")}</span>` : one.preset ? "as the preset has it" : html`<span class="mono">openai.*</span> <span class="muted">as usual</span>`],
  one.note && ["Note", one.note],
  one.proxy && ["By way of", html`<code>${one.proxy}</code>`],
  one.max_connections && ["Connections at once", count(one.max_connections)],
  
  one.verify_tls === false && ["Certificate", html`<span class="bad">not checked</span>`],
  one.updated && ["Changed", html`<${Time} at=${one.updated} /> (revision ${one.revision})`],
];

// What is the matter with it, in a sentence.
function Why({ one }) {
  const { live } = one;
  if (!one.enabled) return html`<span class="muted">No request goes there.</span>`;
  if (!live.served) return html`<span class="muted">${live.why === "no credential" ? "Add a credential: without one nothing can be sent." : "It is not in use."}</span>`;
  if (live.status === "unused") return html`<span class="muted">No model has a deployment here yet.</span>`;
  const { healthy = 0, degraded = 0, unhealthy = 0 } = live.deployments;
  if (unhealthy) return html`<span>${unhealthy} of ${healthy + degraded + unhealthy} deployments are out${live.since ? html`, the first since ${moment(live.since)}` : ""}: too many requests failed. <${Link} to="/requests" query=${{ provider: one.name, failed: "true" }}>What failed<//></span>`;
  if (!live.usable) return html`<span>All its credentials rest, or a limit is reached, so nothing is sent there for now. The table below says why and for how long.</span>`;
  if (degraded) return html`<span>${degraded} of ${healthy + degraded} deployments fail now and then, or are slower than others, and get half of their share.</span>`;
  return null;
}

const Next = ({ one, session, add, done }) => html`<div class="notice good row" role="status"><span><strong>${one.name} is added.</strong> Clients ask for models: give one a deployment here, then test it.</span>${session.may("operate") && html`<button class="primary" onClick=${add}>Add a model</button>`}<button class="plain" onClick=${done} aria-label="Dismiss">✕</button></div>`;

// --- credentials ---------------------------------------------------------------------------------------------------

function Credentials({ one, from, after, go, session, changed }) {
  const [open, show] = useState(null);
  const configure = session.may("configure") && !one.read_only;
  const close = () => show(null);
  const label = (each) => (each.last4 ? `…${each.last4}` : `credential ${each.id}`);
  const columns = [
    { name: "Credential", of: (each) => html`<span class="mono">${each.last4 ? `•••• ${each.last4}` : "••••"}</span> <span class="muted small">id ${each.id}</span>` },
    { name: "State", of: (each) => (each.problem ? html`<${Badge} tone="bad" title=${each.problem}>cannot be opened<//>` : html`<${KeyState} state=${each.live.state} />`) },
    { name: "Rests", wide: true, of: (each) => html`<${Rests} of=${each.live.rests} />` },
    { name: "Share", num: true, of: (each) => count(each.weight ?? 1) },
    { name: "Used", wide: true, of: (each) => html`<${Usage} of=${each.live.usage} />` },
    { name: html`<span class="hidden-visually">Actions</span>`, of: (each) => html`<span class="row end">
      ${session.may("operate") && each.live.served && html`<button class="small" aria-label=${`Test ${label(each)}`} onClick=${() => show({ what: "try", each })}>Test</button>`}
      ${session.may("operate") && each.live.rests.length > 0 && html`<${Restore} path="/admin/credentials" id=${each.id} name=${label(each)} changed=${changed} />`}
      ${configure && html`<button class="small" aria-label=${`Change ${label(each)}`} onClick=${() => show({ what: "edit", each })}>Change</button><button class="small danger" aria-label=${`Delete ${label(each)}`} onClick=${() => show({ what: "delete", each })}>Delete</button>`}</span>` },
  ];
  return html`<${Card} title="Credentials" actions=${configure && html`<button onClick=${() => show({ what: "add" })}>Add credentials</button>`}>
    <${Loaded} from=${from}>${({ data, next }) => (data.length || after ? html`<${Table} label="Credentials" rows=${data} columns=${columns} /><${Pager} after=${after} next=${next} go=${go} />` : html`<p class="muted">None. ${configure ? "Add one, unless this provider takes requests without." : ""}</p>`)}<//>
    ${open?.what === "add" && html`<${AddKeys} one=${one} onClose=${close} onMade=${() => { close(); changed(); }} />`}
    ${open?.what === "edit" && html`<${EditKey} each=${open.each} label=${label(open.each)} reload=${changed} onClose=${close} onSaved=${() => { close(); toast("The credential is saved."); changed(); }} />`}
    ${open?.what === "delete" && html`<${Delete} path="/admin/credentials" one=${open.each} kind="credential" name=${label(open.each)} onClose=${close} onGone=${() => { close(); changed(); }} />`}
    ${open?.what === "try" && html`<${Try} title=${`Test ${label(open.each)} of ${one.name}`} credential=${open.each} onClose=${close} />`}
  <//>`;
}

function Rests({ of: rests }) {
  if (!rests?.length) return html`<span class="muted">–</span>`;
  return html`<div class="stack tight">${rests.slice(0, 4).map((rest) => html`<div key=${rest.model || ""}>${rest.model ? html`<code>${rest.model}</code>` : "all models"}: <${Countdown} until=${rest.until} /> <span class="muted small">${CAUSES[rest.cause] || rest.cause}${rest.since ? `, since ${moment(rest.since)}` : ""}</span></div>`)}${rests.length > 4 && html`<span class="muted">and ${rests.length - 4} more</span>`}</div>`;
}

function AddKeys({ one, onClose, onMade }) {
  const [text, type] = useState("");
  const save = async () => {
    const made = await send("POST", "/admin/credentials/batch", secrets(text).map((key) => ({ provider: one.id, key })));
    toast(`${made.data.length} credential${made.data.length === 1 ? " is" : "s are"} added.`);
    onMade();
  };
  return html`<${FormDialog} title=${`Add credentials to ${one.name}`} action="Add" save=${save} onClose=${onClose}>${() => html`<${Keys} value=${text} onInput=${type} />`}<//>`;
}

const LIMITS = ["weight", "rpm", "tpm", "concurrency"];

function EditKey({ each: now, label, reload, onClose, onSaved }) {
  const each = useOpened(now);
  const before = others(each, [...LIMITS, "provider"]);
  const [form, set] = useState({ key: "", ...Object.fromEntries(LIMITS.map((name) => [name, each[name] ?? ""])) });
  const [more, type] = useState(Object.keys(before).length ? JSON.stringify(before, null, 2) : "");
  const put = (name) => (value) => set({ ...form, [name]: value });
  const save = () => patch("/admin/credentials", each, { ...different(each, Object.fromEntries(LIMITS.map((name) => [name, whole(form[name])]))), ...(form.key ? { key: form.key.trim() } : {}), ...merged(before, more) });
  return html`<${ObjectForm} title=${`Change ${label}`} save=${save} saved=${(made) => { warn(made); onSaved(); }} reload=${reload} onClose=${onClose}>${(fault) => html`
    <${Text} label="New key" type="password" value=${form.key} onInput=${put("key")} fault=${fault("key")} hint="Empty: it stays as it is. It is never shown." autocomplete="off" />
    <div class="form two">
      <${Text} label="Share" type="number" min="1" value=${form.weight} onInput=${put("weight")} fault=${fault("weight")} hint="Among the credentials of this provider." />
      <${Text} label="Requests a minute" type="number" min="0" value=${form.rpm} onInput=${put("rpm")} fault=${fault("rpm")} />
      <${Text} label="Tokens a minute" type="number" min="0" value=${form.tpm} onInput=${put("tpm")} fault=${fault("tpm")} />
      <${Text} label="Requests at once" type="number" min="0" value=${form.concurrency} onInput=${put("concurrency")} fault=${fault("concurrency")} />
    </div>
    <${More} kind="credential" value=${more} onInput=${type} fault=${fault} />`}<//>`;
}

// --- what it serves ------------------------------------------------------------------------------------------------

function Served({ one, from, session, add, changed }) {
  const lately = useLately("deployment", { provider: one.name });
  const [tried, attempt] = useState(null);
  const of = (each) => lately.rows[each.live.deployment];
  const operate = session.may("operate");
  const columns = [
    { name: "Model", wide: true, of: (each) => html`<${Link} to=${`/models/${enc(each.public_model)}`}>${each.public_model}<//>` },
    { name: "Its name there", of: (each) => html`<code>${each.model || each.public_model}</code>` },
    { name: "Health", of: (each) => html`<div class="stack tight"><div><${Health} live=${each.live} enabled=${each.enabled} /></div><span class="small"><${LastCheck} of=${each.live.last_check} way=${each.live.check} /></span></div>` },
    { name: "In flight", num: true, of: (each) => html`<${InFlight} live=${each.live} />` },
    { name: "Requests, 1 h", num: true, of: (each) => count(lately.asked(each.live.deployment)) },
    { name: "Success", num: true, of: (each) => percent(of(each)?.success_rate) },
    { name: "TTFT p50", num: true, of: (each) => duration(of(each)?.ttft?.p50) },
    { name: html`<span class="hidden-visually">Actions</span>`, of: (each) => operate && html`<span class="row end">
      ${each.live.served && html`<button class="small" aria-label=${`Test ${each.public_model}`} onClick=${() => attempt(each)}>Test</button>`}
      ${each.live.circuit && each.live.circuit !== "closed" && html`<${Restore} path="/admin/deployments" id=${each.id} name=${each.public_model} changed=${changed} />`}</span>` },
  ];
  return html`<${Card} title="What it serves" actions=${operate && html`<button onClick=${add}>Add a model</button>`}>
    <${Loaded} from=${from}>${({ data, next }) => (data.length
      ? html`<${Table} label="Deployments" rows=${data} columns=${columns} />${next && html`<p class="muted">These are the first ${data.length}.</p>`}`
      : html`<${Empty} title="Nothing yet">Clients ask for models. A model with a deployment here is answered by ${one.name}.<//>`)}<//>
    ${tried && html`<${Try} title=${`Test ${tried.public_model} at ${one.name}`} deployment=${tried} onClose=${() => attempt(null)} />`}
  <//>`;
}
