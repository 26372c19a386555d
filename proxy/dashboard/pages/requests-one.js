// One request: when what happened, who was asked, what it used, and what was said where that is kept.
import { html, useEffect, useState } from "../lib.js";
import { Link } from "../router.js";
import { useLoad } from "../use.js";
import { Badge, Card, Copy, count, duration, Empty, Facts, Failure, Loading, money, Page, Table, Time, when } from "../ui.js";
import { outcome, tone } from "./requests-filters.js";
import { Waterfall } from "./requests-waterfall.js";

const AGAIN = 2000;
// Milliseconds after which one that is not there is asked for again: it may just have ended. Then it is given up.
const LATER = [1000, 2000, 4000, 8000];
const seconds = (milliseconds) => (milliseconds === null ? null : milliseconds / 1000);
const words = (text) => text.replaceAll("_", " ");

export function One({ rid, session }) {
  const from = useLoad(`/admin/logs/${encodeURIComponent(rid)}`);
  const one = from.data;
  const [tries, tried] = useState(0);
  const missing = !one && from.error?.status === 404;
  const wait = missing ? LATER[tries] : one && one.state !== "ended" ? AGAIN : undefined;
  useEffect(() => tried(0), [rid]);
  useEffect(() => {
    if (wait === undefined || from.loading) return undefined;
    const timer = setInterval(() => { if (!document.hidden) { tried(tries + 1); from.reload(); } }, wait);
    return () => clearInterval(timer);
  }, [wait, from.loading]);
  const back = html`<${Link} class="button" to="/requests">All requests<//>`;
  if (!one) {
    if (missing) return html`<${Page} title="Request" actions=${back}><${Card}><${Missing} rid=${rid} looking=${wait !== undefined} again=${() => { tried(0); from.reload(); }} /><//><//>`;
    return html`<${Page} title="Request" actions=${back}>${from.error ? html`<${Failure} error=${from.error} retry=${from.reload} />` : html`<${Loading} />`}<//>`;
  }
  return html`<${Page} title="Request" actions=${back}>
    <div class="row"><code>${one.rid}</code><${Copy} text=${one.rid} label="Copy the id" /></div>
    <${Card}><${Head} one=${one} /><//>
    <${Card} title="When what happened"><${Waterfall} one=${one} /><//>
    <${Card} title=${one.attempts.length === 0 ? "Attempts" : one.attempts.length === 1 ? "The attempt" : `${one.attempts.length} attempts`}><${Attempts} one=${one} /><//>
    <div class="grid two">
      <${Card} title="Used"><${Used} one=${one} /><//>
      <${Card} title="Who asked what"><${Asked} one=${one} /><//>
    </div>
    ${session.may("configure") && html`<${Card} title="What was said"><${Said} content=${one.content} /><//>`}
  <//>`;
}

const Missing = ({ rid, looking, again }) => html`<${Empty} title="There is no such request" action=${looking ? html`<span class="muted" role="status">Looking for it again …</span>` : html`<button onClick=${again}>Look again</button>`}>
  Nothing is kept of <code>${rid}</code>. One that has just ended is here some tenths of a second later; old ones are deleted in the end (<code>ledger.keep</code>).<//>`;

function Head({ one }) {
  const ended = one.state === "ended";
  return html`<div class="row">
    <${Badge} tone=${tone(one)} live=${!ended}>${ended ? one.status || "–" : one.state}<//>
    <strong>${ended ? outcome(one.outcome) : "not over yet"}${one.cause && `: ${words(one.cause)}`}</strong>
    <span class="muted">${when(one.at)} (<${Time} at=${one.at} />)</span>
  </div>
  <div class="tiles flat">
    ${[["Total", duration(seconds(one.total_ms))], ["Time to first token", one.stream ? duration(seconds(one.ttft_ms)) : "–"], ["Overhead", duration(seconds(one.overhead_ms))], ["Tokens", count(one.input + one.cache_read + one.cache_write + one.output)], ["Cost", money(one.cost)]].map(([label, value]) => html`<div key=${label}><div class="muted small">${label}</div><div class="figure">${value}</div></div>`)}
  </div>`;
}

function Attempts({ one }) {
  if (!one.attempts.length) return html`<p class="muted">${one.state === "ended" ? "No provider was asked." : "They are written down when the request is over."}</p>`;
  const columns = [
    { name: "#", num: true, of: (each) => each.number },
    { name: "Deployment", of: (each) => html`<div>${each.deployment}</div><div class="muted small">${each.provider} as ${each.upstream_model}</div>` },
    { name: "Credential", of: (each) => each.credential || "–" },
    { name: "Status", of: (each) => html`<${Badge} tone=${each.outcome === "ok" ? "good" : "bad"}>${each.status || "no answer"}<//>` },
    { name: "What came of it", of: (each) => html`${words(each.outcome)}${each.cause && html`: <strong>${words(each.cause)}</strong>`}` },
    { name: "Began", num: true, of: (each) => duration(seconds(each.started_ms)) },
    { name: "Connected", num: true, of: (each) => duration(seconds(each.connect_ms)) },
    { name: "First content", num: true, of: (each) => duration(seconds(each.ttft_ms)) },
    { name: "Took", num: true, of: (each) => duration(seconds(each.total_ms)) },
    { name: "Cost", num: true, of: (each) => money(each.cost_micro === null ? null : each.cost_micro / 1e6) },
  ];
  return html`<${Table} label="Attempts" columns=${columns} rows=${one.attempts} keyOf=${(each) => each.number} />`;
}

function Used({ one }) {
  const some = (name, value) => Boolean(value) && [name, count(value)];
  return html`<${Facts} items=${[
    ["Input tokens", count(one.input)], some("of a cache", one.cache_read), some("into a cache", one.cache_write), ["Output tokens", count(one.output)],
    some("of these reasoning", one.reasoning), some("Audio in", one.audio_input), some("Audio out", one.audio_output), some("Images", one.images),
    Boolean(one.seconds) && ["Audio", duration(one.seconds)],
    ["Counted by", one.source === "reported" ? "the provider" : one.source === "estimated" ? "Headrace: an estimate" : words(one.source || "nobody")],
    ["Charged", money(one.cost)],
    one.cost_upstream_micro !== null && ["All attempts cost", money(one.cost_upstream_micro / 1e6)],
    ["Request", `${count(one.bytes_in)} bytes`], ["Answer", `${count(one.bytes_out)} bytes`],
  ]} />`;
}

function Asked({ one }) {
  const link = (name, value) => (value ? html`<${Link} to="/requests" query=${{ [name]: value }}>${value}<//>` : "–");
  return html`<${Facts} items=${[
    ["Model", link("model", one.model)], one.asked !== one.model && ["asked as", one.asked],
    ["Provider", link("provider", one.provider)], ["Deployment", one.deployment || "–"], Boolean(one.upstream_model) && ["Model there", one.upstream_model],
    ["Key", link("key", one.key)], Boolean(one.team) && ["Team", link("team", one.team)], Boolean(one.owner) && ["Owner", one.owner],
    ["Path", html`<code>${one.route}</code>`], ["Streamed", one.stream ? "yes" : "no"], Boolean(one.finish) && ["Finished by", one.finish],
    Boolean(one.client) && ["From", one.client], Boolean(one.user_agent) && ["Program", one.user_agent],
  ]} />`;
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}
function Said({ content }) {
  if (!content) return html`<p class="muted">What is asked and answered is not kept, unless <code>logging.detailed</code> is on. Who reads it here is written into the audit log.</p>`;
  return html`<div class="grid two">${[["Request", content.request], ["Answer", content.response]].map(([title, text]) => html`<div key=${title}><div class="row"><h3 class="grow">${title}</h3>${text && html`<${Copy} text=${text} />`}</div><pre class="said">${text ? pretty(text) : "not kept"}</pre></div>`)}</div>`;
}
