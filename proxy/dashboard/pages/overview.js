// How it goes: now, lately, and how the providers are.
import { html, useRef } from "../lib.js";
import { useLoad } from "../use.js";
import { Link } from "../router.js";
import { Badge, Card, Copy, duration, Empty, Page } from "../ui.js";
import { LiveCharts, Liveness, Tiles, useLive } from "./overview-live.js";
import { History } from "./overview-history.js";

const TONES = { healthy: "good", degraded: "warn", unhealthy: "bad", unused: "" };
const WORDS = { healthy: "healthy", degraded: "degraded", unhealthy: "out", unused: "not in use" };

// Why a provider is not wholly well, one sentence each.
function reasons({ keys, rests = [], deployments }) {
  const worse = Object.entries(deployments).filter(([, state]) => state !== "healthy");
  const told = rests.map((one) => `${one.credential} rests ${duration(one.seconds)} more${one.model ? ` for ${one.model}` : ""}: ${String(one.cause ?? "unknown").replaceAll("_", " ")}`);
  if (!told.length && keys.bad) told.push(`${keys.bad} of ${keys.bad + keys.cooling + keys.usable} credentials rest`);
  return [...worse.map(([id, state]) => `${id} is ${WORDS[state]}`), ...told];
}

function Providers({ providers }) {
  const all = Object.entries(providers);
  if (!all.length) return html`<${Card} title="Providers"><${Empty} title="No provider yet" action=${html`<${Link} class="button primary" to="/providers">Add a provider<//>`}>A provider is who answers: a vendor's API, or a server of your own.<//><//>`;
  return html`<${Card} title="Providers" actions=${html`<${Link} to="/providers">All of them<//>`}><ul class="strip">${all.map(([name, one]) => {
    const told = reasons(one);
    return html`<li key=${name}><${Badge} tone=${TONES[one.status]} live>${name}: ${WORDS[one.status]}<//>${told.slice(0, 3).map((text) => html` <span class="muted">${text}</span>`)}${told.length > 3 && html` <span class="muted">and ${told.length - 3} more</span>`}</li>`;
  })}</ul><//>`;
}

// Before anybody has asked anything: what to do.
function First({ status }) {
  const url = status?.listeners.find((one) => one.for === "clients")?.url;
  const at = url ? `${location.protocol}//${location.hostname}:${new URL(url).port || 80}` : "http://localhost:8000";
  const ids = Object.values(status?.providers ?? {}).flatMap((one) => Object.keys(one.deployments));
  const model = /^(.*)\/\d+:/.exec(ids[0] ?? "")?.[1] ?? "MODEL";
  const line = `curl -N ${at}/v1/chat/completions -H 'Authorization: Bearer YOUR-KEY' -H 'Content-Type: application/json' -d '{"model": "${model}", "stream": true, "messages": [{"role": "user", "content": "Hello"}]}'`;
  return html`<${Card}><${Empty} title="Nothing was asked yet" action=${html`<pre class="wrap">${line}</pre><div class="row"><${Copy} text=${line} label="Copy the command" /><${Link} class="button" to="/playground">Open the playground<//></div>`}>
    As soon as an application asks, this page shows how many requests there are, how fast they are answered and what they cost. Try it with a <${Link} to="/keys">virtual key<//>:
  <//><//>`;
}

const midnight = () => new Date().setHours(0, 0, 0, 0) / 1000;

export default function Overview() {
  const { samples, state } = useLive();
  const status = useLoad("/admin/status", {}, { every: 10 });
  const today = useLoad("/admin/statistics", () => ({ since: midnight(), span: 0 }), { every: 60 });
  const now = samples[samples.length - 1];
  const ever = useLoad("/admin/logs", { limit: 1 });
  // Once there was one, there was one, also when five minutes have passed since.
  const busy = useRef(false);
  busy.current ||= samples.some((one) => one.requests.total || one.inflight);
  const nothing = ever.data && !ever.data.items.length && !ever.data.note && !busy.current;
  const spent = today.data && (today.data.data[0]?.cost ?? 0);
  return html`<${Page} title="Overview" actions=${html`<${Liveness} state=${state} />`}>
    ${nothing && html`<${First} status=${status.data} />`}
    <${Tiles} now=${now} today=${spent} />
    ${status.data && html`<${Providers} providers=${status.data.providers} />`}
    ${!nothing && html`<${LiveCharts} samples=${samples} />${ever.data && !ever.data.note && html`<${History} />`}`}
  <//>`;
}
