// What goes on now: the feed of /admin/live as tiles, and the last five minutes of it as lines.
import { html, useMemo, useState } from "../lib.js";
import { useEvents } from "../use.js";
import { Badge, Card, count, duration, money, percent, Tile } from "../ui.js";
import { Lines } from "../chart.js";

const SPAN = 300;

// Kept while one looks at other pages, so that coming back shows what was there. By whole seconds.
const seen = new Map();
function take(samples) {
  for (const one of samples) seen.set(Math.round(one.at), one);
  // By the server's clock, where it has told the time: the reader's may be another.
  const from = (samples.length ? samples[samples.length - 1].at : Date.now() / 1000) - SPAN - 5;
  for (const at of seen.keys()) if (at < from) seen.delete(at);
  return [...seen.keys()].sort((a, b) => a - b).map((at) => seen.get(at));
}

// {samples, state}: the oldest first, and how the feed is.
export function useLive() {
  const [samples, set] = useState(() => take([]));
  const state = useEvents("/admin/live", (name, data) => {
    if (name === "sample") set(take([data]));
    else if (name === "history" && data.length) set(take(data));
  });
  return { samples, state };
}

const STATES = { connecting: ["", "Connecting …"], live: ["good", "Live"], lost: ["warn", "Connection lost: trying again"], refused: ["bad", "Not allowed to watch"] };
export const Liveness = ({ state }) => html`<span role="status"><${Badge} tone=${STATES[state][0]} live=${state === "live"}>${STATES[state][1]}<//></span>`;

const rate = (value) => (value === undefined ? count(value) : `${count(value)}/s`);

export function Tiles({ now, today }) {
  const { requests = {}, tokens = {}, ttft, overhead, error_rate: errors } = now ?? {};
  const onward = now && now.failovers + now.fallbacks;
  return html`<div class="tiles four" aria-label="Now" role="group">
    <${Tile} label="Requests" value=${rate(requests.total)} note=${now ? `${count(requests.succeeded)}/s succeeded` : "waiting for the first second"} />
    <${Tile} label="Tokens" value=${rate(now && tokens.input + tokens.output)} note=${now ? `${count(tokens.input)} in, ${count(tokens.output)} out` : ""} />
    <${Tile} label="Failed" value=${errors === null ? percent(0) : percent(errors)} tone=${errors >= 0.05 ? "bad" : errors > 0 ? "warn" : ""} note=${now ? `${count(requests.refused)}/s refused` : ""} />
    <${Tile} label="Failovers" value=${rate(onward)} tone=${onward > 0 ? "warn" : ""} note=${now ? `${count(now.retries)}/s retried` : ""} />
    <${Tile} label="Time to first token" value=${duration(ttft?.p50)} note=${ttft ? `p99 ${duration(ttft.p99)}` : "no stream in the last 10 s"} />
    <${Tile} label="Overhead" value=${duration(overhead?.p50)} note=${overhead ? `p99 ${duration(overhead.p99)}` : "no request in the last 10 s"} />
    <${Tile} label="In flight" value=${count(now?.inflight)} note="requests being answered" />
    <${Tile} label="Spend" value=${now ? `${money(now.cost)}/min` : money(undefined)} note=${today === undefined ? "" : `${money(today)} today`} />
  </div>`;
}

const CHARTS = [
  ["Requests per second", count, [["succeeded", (one) => one.requests.succeeded], ["refused", (one) => one.requests.refused], ["client left", (one) => one.requests.client_gone], ["failed", (one) => one.requests.failed]]],
  ["Tokens per second", count, [["output", (one) => one.tokens.output], ["input", (one) => one.tokens.input]]],
  ["Time to first token", duration, [["p50", (one) => one.ttft?.p50], ["p95", (one) => one.ttft?.p95], ["p99", (one) => one.ttft?.p99]]],
  ["Overhead", duration, [["p50", (one) => one.overhead?.p50], ["p95", (one) => one.overhead?.p95], ["p99", (one) => one.overhead?.p99]]],
];

export function LiveCharts({ samples }) {
  // Where a second is missing there is a gap, not a slope.
  const [x, rows] = useMemo(() => {
    const end = samples.length ? Math.round(samples[samples.length - 1].at) : Math.round(Date.now() / 1000);
    const by = new Map(samples.map((one) => [Math.round(one.at), one]));
    const times = Array.from({ length: SPAN + 1 }, (_, n) => end - SPAN + n);
    return [times, times.map((at) => by.get(at))];
  }, [samples]);
  return html`<div class="grid two">${CHARTS.map(([title, format, lines]) => html`<${Card} title=${title} key=${title}>
    <${Lines} label=${`${title}, the last five minutes`} x=${x} sync="live" height=${170} format=${format}
      series=${lines.map(([label, of], n) => ({ label, values: rows.map((one) => (one ? of(one) ?? null : null)), fill: n === 0 }))} />
  <//>`)}</div>`;
}
