// The deployments of a model in tiers: the smallest priority is tried first, and within it weights say who gets how much.
// What is moved or weighed anew is a draft, until it is saved as one change or thrown away.
import { html, useState } from "../lib.js";
import { send } from "../api.js";
import { Link } from "../router.js";
import { Action, Badge, Card, count, duration, Empty, Failure, percent, toast } from "../ui.js";
import { Health, InFlight, LastCheck, OfFile, useLately } from "./condition.js";
import { Delete } from "./deleting.js";
import { Conflict, enc } from "./fields.js";
import { DeploymentForm } from "./models-form.js";
import { Switch } from "./providers.js";
import { Usage } from "./quota.js";
import { Restore, Try } from "./try.js";

const MINUTES = 5;
const priority = (one) => (one.preferred ? 0 : one.priority);

// [[priority, rows], …], the first first.
export function tiersOf(rows, draft = {}) {
  const tiers = new Map();
  for (const row of rows) {
    const at = draft[row.id]?.priority ?? priority(row);
    tiers.set(at, [...(tiers.get(at) || []), row]);
  }
  return [...tiers].sort(([a], [b]) => a - b);
}

export function Tiers({ model, rows, session, changed, add }) {
  const [draft, set] = useState({});
  const [error, fail] = useState(null);
  const [dragged, drag] = useState(null);
  const [open, show] = useState(null);
  const lately = useLately("deployment", { model: model.name }, MINUTES * 60);
  const all = rows.reduce((sum, row) => sum + (lately.rows[row.live.deployment]?.requests || 0), 0);
  const operate = session.may("operate");
  const may = operate && !model.read_only;
  const tiers = tiersOf(rows, draft);
  const weight = (row) => draft[row.id]?.weight ?? row.weight;
  const counts = (row) => weighed(weight(row), row);
  const put = (row, fields) => set({ ...draft, [row.id]: { revision: row.revision, ...draft[row.id], ...fields } });
  const edits = rows.filter((row) => draft[row.id]).map((row) => ({ row, ...draft[row.id] }))
    .filter(({ row, priority: p = priority(row), weight: w = row.weight }) => p !== priority(row) || weighed(w, row) !== row.weight);
  const close = () => show(null);

  const save = async () => {
    fail(null);
    const before = edits.map(({ row }) => ({ id: row.id, priority: row.priority, weight: row.weight, preferred: row.preferred }));
    try {
      await send("PATCH", "/admin/deployments/batch", edits.map(({ row, revision, priority: p, weight: w }) => ({ id: row.id, revision, ...(p === undefined ? {} : { priority: p, preferred: false }), ...(w === undefined ? {} : { weight: weighed(w, row) }) })));
    } catch (problem) { fail(problem.status === 412 ? new Conflict(problem) : problem); return; }
    set({});
    await changed();
    toast("Order and weights are saved.", { undo: async () => { await send("PATCH", "/admin/deployments/batch", before); await changed(); } });
  };
  // Up: to the end of the tier before, or to one of its own before all others. Down: the same the other way.
  const move = (row, step) => {
    const at = tiers.findIndex(([, held]) => held.includes(row));
    const [from, held] = tiers[at];
    const next = tiers[at + step];
    if (next) put(row, { priority: next[0] });
    else if (held.length > 1 && from + step >= 0) put(row, { priority: from + step });
    else if (held.length > 1) set({ ...draft, ...Object.fromEntries(rows.filter((one) => one !== row).map((one) => [one.id, { revision: one.revision, ...draft[one.id], priority: (draft[one.id]?.priority ?? priority(one)) + 1 }])) });
  };
  const movable = (row, step) => { const at = tiers.findIndex(([, held]) => held.includes(row)); return Boolean(tiers[at + step]) || tiers[at][1].length > 1; };
  const drop = (at) => { if (dragged) put(dragged, { priority: at }); drag(null); };

  if (!rows.length) return html`<${Card} title="Deployments"><${Empty} title="Nobody serves it" action=${may && html`<button class="primary" onClick=${add}>Add a deployment</button>`}>A deployment is a provider and the name it has for this model. Without one, clients are told that the model does not exist.<//><//>`;
  return html`<${Card} title="Deployments" actions=${html`<span class="muted small">Shares of the last ${MINUTES} minutes: ${count(all)} requests</span>${may && html`<button onClick=${add}>Add a deployment</button>`}`}>
    <div class="stack">
      ${tiers.map(([at, held], number) => html`<section key=${at} class=${`tier ${dragged ? "target" : ""}`} aria-label=${`Priority ${at}`} onDragOver=${(event) => dragged && event.preventDefault()} onDrop=${(event) => { event.preventDefault(); drop(at); }}>
        <h3>${number === 0 ? "Tried first" : "Then"} <span class="muted small">priority ${at}</span></h3>
        <ul>${held.map((row) => html`<${Row} key=${row.id} row=${row} weight=${weight(row)} share=${share(row, held, counts)} got=${all ? (lately.rows[row.live.deployment]?.requests || 0) / all : null} figures=${lately.rows[row.live.deployment]} edited=${edits.some((one) => one.row === row)}
          may=${may} operate=${operate} movable=${(step) => movable(row, step)} move=${(step) => move(row, step)} weigh=${(value) => put(row, { weight: value })} drag=${drag} show=${show} changed=${changed} />`)}</ul>
      </section>`)}
      ${may && dragged && html`<div class="tier target new" onDragOver=${(event) => event.preventDefault()} onDrop=${(event) => { event.preventDefault(); drop(Math.max(...tiers.map(([p]) => p)) + 1); }}>A tier of its own, tried last</div>`}
      <${Failure} error=${error} />
      ${edits.length > 0 && html`<div class="draft row" role="status"><span>${edits.length} not saved</span>
        ${error instanceof Conflict && html`<button class="small" onClick=${async () => { set({}); fail(null); await changed(); }}>Load it anew</button>`}
        <button class="small" onClick=${() => { set({}); fail(null); }}>Throw away</button><${Action} class="primary small" run=${save}>Save order and weights<//></div>`}
    </div>
    ${open?.what === "edit" && html`<${DeploymentForm} one=${open.row} model=${model} reload=${changed} onClose=${close} onSaved=${() => { close(); changed(); }} />`}
    ${open?.what === "delete" && html`<${Delete} path="/admin/deployments" one=${open.row} kind="deployment" name=${open.row.provider} onClose=${close} onGone=${() => { close(); changed(); }} />`}
    ${open?.what === "try" && html`<${Try} title=${`Test ${model.name} at ${open.row.provider}`} deployment=${open.row} onClose=${close} />`}
  <//>`;
}

// The weight in a field; an empty one, or one that is no number, leaves it as it is.
const weighed = (text, row) => (String(text).trim() === "" ? row.weight : Number(text));

// What its weight would give it in its tier.
function share(row, held, weight) {
  const sum = held.filter((one) => one.enabled).reduce((total, one) => total + Number(weight(one) || 0), 0);
  return row.enabled && sum ? Number(weight(row) || 0) / sum : 0;
}

function Row({ row, weight, share: meant, got, figures, edited, may, operate, movable, move, weigh, drag, show, changed }) {
  const name = `${row.provider} ${row.model || row.public_model}`;
  return html`<li class=${`deployment ${edited ? "edited" : ""}`} draggable=${may} onDragStart=${(event) => { event.dataTransfer.effectAllowed = "move"; event.dataTransfer.setData("text/plain", name); drag(row); }} onDragEnd=${() => drag(null)}>
    <div class="who">${may && html`<span class="grip" aria-hidden="true" title="Drag to another tier">⠿</span>`}
      <div><span class="row"><${Link} to=${`/providers/${enc(row.provider)}`}>${row.provider}<//><code>${row.model || row.public_model}</code>${row.read_only && html`<${OfFile} />`}</span>
        <span class="row small"><${Health} live=${row.live} enabled=${row.enabled} /><${LastCheck} of=${row.live.last_check} way=${row.live.check} />${row.live.slow && html`<${Badge} tone="warn">slower than the others<//>`}${row.live.outage && html`<${Badge} tone="bad">all of its host is out<//>`}</span></div></div>
    <div class="shares">
      <div class="row small"><span>${got === null ? "no requests" : `${percent(got)} of requests`}</span><span class="muted">weight gives ${percent(meant)}</span></div>
      <div class="twin" role="img" aria-label=${`${name}: ${got === null ? "no requests" : `${percent(got)} of requests`}, its weight gives ${percent(meant)}`}><span class="got" style=${{ width: `${(got || 0) * 100}%` }}></span><span class="meant" style=${{ left: `${meant * 100}%` }}></span></div>
      <div class="row small muted"><span><${InFlight} live=${row.live} /> in flight${row.live.ceiling ? ` of ${count(row.live.ceiling)}` : ""}</span><span>TTFT ${duration(figures?.ttft?.p50)}</span><span>${percent(figures?.success_rate)} well</span></div>
      ${row.live.usage && html`<${Usage} of=${row.live.usage} />`}
    </div>
    <div class="row end tools">
      ${may && html`<label class="weight"><span class="small muted">Weight</span><input type="number" min="0" max="1000000" value=${weight} aria-label=${`Weight of ${name}`} onInput=${(event) => weigh(event.target.value)} /></label>
        <button class="small" aria-label=${`Move ${name} up`} disabled=${!movable(-1)} onClick=${() => move(-1)}>↑</button><button class="small" aria-label=${`Move ${name} down`} disabled=${!movable(1)} onClick=${() => move(1)}>↓</button>`}
      ${!may && html`<span class="muted small">weight ${count(row.weight)}</span>`}
      ${operate && row.live.served && html`<button class="small" aria-label=${`Test ${name}`} onClick=${() => show({ what: "try", row })}>Test</button>`}
      ${operate && row.live.circuit && row.live.circuit !== "closed" && html`<${Restore} path="/admin/deployments" id=${row.id} name=${name} changed=${changed} />`}
      ${may && html`<${Switch} path="/admin/deployments" one=${row} name=${name} changed=${changed} /><button class="small" aria-label=${`Change ${name}`} onClick=${() => show({ what: "edit", row })}>Change</button><button class="small danger" aria-label=${`Delete ${name}`} onClick=${() => show({ what: "delete", row })}>Delete</button>`}
    </div>
  </li>`;
}
