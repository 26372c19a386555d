// One request as bars over time: waiting for its turn, then each attempt: connecting, waiting for content, content.
import { html } from "../lib.js";
import { duration } from "../ui.js";

const KINDS = { queue: "waiting for its turn", connect: "connecting", wait: "waiting for the first content", stream: "content", failed: "no answer" };

// [{name, note, parts: [{kind, from, to}]}] in milliseconds after the request had come.
export function rows(one) {
  const all = [];
  if (one.queue_ms >= 0.5) all.push({ name: "Queue", note: "", parts: [{ kind: "queue", from: 0, to: one.queue_ms }] });
  for (const each of one.attempts) {
    const begin = each.started_ms ?? 0;
    const end = begin + (each.total_ms ?? 0);
    const connected = begin + (each.connect_ms ?? 0);
    const parts = [];
    if (each.connect_ms !== null) parts.push({ kind: "connect", from: begin, to: Math.min(connected, end) });
    if (each.ttft_ms === null) parts.push({ kind: "failed", from: Math.min(connected, end), to: end });
    else {
      const first = Math.min(begin + each.ttft_ms, end);
      parts.push({ kind: "wait", from: Math.min(connected, first), to: first }, { kind: "stream", from: first, to: end });
    }
    all.push({ name: `${each.number}. ${each.deployment}`, note: each.outcome === "ok" ? "" : each.outcome.replaceAll("_", " "), parts });
  }
  return all;
}

export function Waterfall({ one }) {
  const all = rows(one);
  const end = Math.max(one.total_ms ?? 0, ...all.flatMap((row) => row.parts.map((part) => part.to)));
  if (!all.length || !end) return html`<p class="muted">${one.state === "ended" ? `It was over after ${duration((one.total_ms ?? 0) / 1000)}, before any provider was asked.` : "This is known when the request is over."}</p>`;
  const share = (milliseconds) => `${(milliseconds / end) * 100}%`;
  const kinds = Object.keys(KINDS).filter((kind) => all.some((row) => row.parts.some((part) => part.kind === kind)));
  const told = (row) => `${row.name}: ${row.parts.map((part) => `${KINDS[part.kind]} ${duration((part.to - part.from) / 1000)}`).join(", ")}${row.note && `; ${row.note}`}`;
  return html`<div class="waterfall">
    ${all.map((row) => html`<div class="name" key=${`${row.name} name`}>${row.name}${row.note && html` <span class="muted small">${row.note}</span>`}</div>
      <div class="lane" key=${row.name} role="img" aria-label=${told(row)}>${row.parts.map((part) => html`<span key=${part.kind} class=${part.kind} title=${`${KINDS[part.kind]}: ${duration((part.to - part.from) / 1000)}`} style=${{ left: share(part.from), width: `max(2px, ${share(part.to - part.from)})` }}></span>`)}</div>`)}
    <div></div><div class="scale">${[0, 0.25, 0.5, 0.75, 1].map((at) => html`<span key=${at}>${at ? duration((end * at) / 1000) : "0"}</span>`)}</div>
  </div>
  <ul class="legend">${kinds.map((kind) => html`<li key=${kind}><span class=${`key ${kind}`}></span>${KINDS[kind]}</li>`)}</ul>`;
}
