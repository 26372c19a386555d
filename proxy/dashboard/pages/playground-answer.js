// What came back: the text, each event with its time, headers, and what the request cost.
import { html, useState } from "../lib.js";
import { Link } from "../router.js";
import { Badge, clock, Copy, count, duration, Empty, Failure, Facts, money, Tabs, Tile } from "../ui.js";
import { DIALECTS } from "./playground-dialects.js";
import { header, speed } from "./playground-run.js";

const SHOWN_EVENTS = 300;
const TONES = { waiting: "", streaming: "good", done: "good", failed: "bad", stopped: "warn" };
const TABS = [["answer", "Answer"], ["events", "Events"], ["headers", "Headers"], ["sent", "Sent"]];

// Control characters as the signs that stand for them: an answer moves no cursor and colours nothing.
const visible = (text) => text.replace(/[\u0000-\u0008\u000b-\u001f]/g, (one) => String.fromCharCode(0x2400 + one.charCodeAt(0))).replace(/\u007f/g, "\u2421");
const seconds = (milliseconds) => duration(milliseconds === null || milliseconds === undefined ? null : milliseconds / 1000);

export function Answer({ run, view, onView }) {
  if (!run) {
    return html`<${Empty} title="Nothing asked yet">Write a prompt and send it. What comes back is shown here as it comes: the text, every event with the millisecond it arrived, and where the time went.<//>`;
  }
  const log = run.log;
  const tokens = speed(run);
  return html`<div class="stack">
    <div class="row"><${Badge} tone=${TONES[run.state]} live=${run.state === "streaming"}>${run.status ? `${run.status} · ` : ""}${run.state}<//>
      <span class="muted">${DIALECTS[run.dialect].words} · ${run.model}${run.total === null ? "" : ` · ${seconds(run.total)} in all`}</span>
      ${run.answer.finish && html`<span class="muted">· ended by <code>${run.answer.finish}</code></span>`}
      ${log && html`<${Link} to=${`/requests/${log.rid}`}>In the request log<//>`}</div>
    <div class="tiles">
      <${Tile} label="First words" value=${seconds(run.first)} note="from sending" />
      <${Tile} label="Tokens/s" value=${count(tokens)} note="as it streamed" />
      <${Tile} label="Tokens" value=${`${count(run.answer.input ?? log?.input)} → ${count(run.answer.output ?? log?.output)}`} note="in → out" />
      <${Tile} label="Cost" value=${money(log?.cost)} note=${log && log.cost === null ? "no price known" : log ? `by ${log.provider}` : ""} />
    </div>
    ${run.answer.failure
      ? html`<div class="failure" role="alert"><div>The API says:</div><pre class="said">${visible(run.answer.failure)}</pre></div>`
      : html`<${Failure} error=${run.error} />`}
    <div>
      <${Tabs} label="Parts of the answer" value=${view} options=${TABS} onInput=${onView} />
      ${view === "events" ? html`<${Events} run=${run} />` : view === "headers" ? html`<${Headers} run=${run} />` : view === "sent" ? html`<${Sent} run=${run} />` : html`<${Words} run=${run} />`}
    </div></div>`;
}

function Words({ run }) {
  const { answer } = run;
  const nothing = !answer.text && !answer.thought && !answer.tools.length;
  return html`<div class="stack">
    ${answer.thought && html`<details><summary>Thoughts</summary><pre class="said prose muted" dir="auto">${visible(answer.thought)}</pre></details>`}
    ${answer.text && html`<pre class="said prose" dir="auto" aria-label="Text of the answer" tabindex="0">${visible(answer.text)}</pre>`}
    ${answer.tools.map((one) => html`<div key=${one.key}><h3>Calls <code>${one.name}</code></h3><pre class="said">${visible(pretty(one.input))}</pre></div>`)}
    ${nothing && run.state === "waiting" && html`<p class="muted" role="status">Waiting for the first word …</p>`}
    ${nothing && run.state === "done" && html`<p class="muted">There are no words in this answer. Its events say what there is.</p>`}
    ${answer.text && run.total !== null && html`<div class="row end"><${Copy} text=${answer.text} label="Copy the text" /></div>`}
  </div>`;
}

function pretty(text) {
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

function Events({ run }) {
  const [all, set] = useState(false);
  const shown = all ? run.events : run.events.slice(0, SHOWN_EVENTS);
  if (!run.events.length) return html`<p class="muted">Nothing has arrived.</p>`;
  return html`<div class="stack snug">
    <div class="scroll events" tabindex="0" role="region" aria-label="Events"><table>
      <thead><tr><th scope="col" class="num">ms</th><th scope="col" class="num">later</th><th scope="col">As it came</th></tr></thead>
      <tbody>${shown.map((one, n) => html`<tr key=${n}><td class="num mono">${one.at.toFixed(1)}</td><td class="num mono muted">${n ? `+${(one.at - shown[n - 1].at).toFixed(1)}` : ""}</td><td><pre class="said bare">${visible(one.text)}</pre></td></tr>`)}</tbody></table></div>
    <div class="row"><span class="muted">${count(run.events.length + run.skipped)} ${run.stream ? "events" : "body"}${run.skipped ? `, the last ${count(run.skipped)} not kept` : ""}.</span>
      ${shown.length < run.events.length && html`<button class="small" onClick=${() => set(true)}>Show all</button>`}
      <${Copy} text=${run.events.map((one) => one.text).join("\n\n")} label="Copy all" /></div>
  </div>`;
}

function Headers({ run }) {
  if (!run.headers.length) return html`<p class="muted">No head has arrived.</p>`;
  const parts = (header(run, "server-timing") || "").split(",").map((one) => /^\s*([\w-]+);dur=([\d.]+)/.exec(one)).filter(Boolean);
  return html`<div class="stack">
    ${parts.length > 0 && html`<div><h3>Until the head was sent</h3><${Facts} items=${parts.map(([, name, value]) => [name, `${value} ms`])} /></div>`}
    <${Facts} items=${run.headers.map(([name, value]) => [name, html`<code>${visible(value)}</code>`])} /></div>`;
}

const Sent = ({ run }) => html`<div class="stack snug"><p class="muted">At ${clock(run.at)} to <code>POST ${DIALECTS[run.dialect].path(run.model, run.asked)}</code></p>
  <pre class="said" aria-label="Body that was sent" tabindex="0">${visible(run.body)}</pre><div class="row end"><${Copy} text=${run.body} /></div></div>`;
