// How it went: the last hour, day or week, or the part of it that was drawn over, by model, provider or key.
import { html, useMemo } from "../lib.js";
import { Link, useQuery } from "../router.js";
import { useLoad } from "../use.js";
import { Bar, Card, Choice, count, duration, Empty, Loaded, money, percent, Table, when } from "../ui.js";
import { Lines } from "../chart.js";

const HOUR = 3600;
const DAY = 86_400;
const RANGES = { hour: HOUR, day: DAY, week: 7 * DAY };
const SERIES = 5;
const ROWS = 10;
const NONE = "(none)";

// What is asked for: since and until, in Unix seconds, until null being now; and whether somebody drew over a part.
function asked({ range, from, to }) {
  const [since, until] = [Number(from), Number(to)];
  if (since > 0 && until > since) return { since, until, zoomed: true };
  const length = RANGES[range] ?? HOUR;
  return { length, zoomed: false };
}

// Spans of which a chart has some dozens to hundreds, and that the server has sums of: of minutes for two days.
function spanOf(since, until) {
  const length = until - since;
  if (since > Date.now() / 1000 - 2 * DAY + 60) {
    if (length <= 3 * HOUR) return 60;
    if (length <= 16 * HOUR) return 300;
  }
  return length <= 14 * DAY ? HOUR : DAY;
}

// Rows of spans and groups as lines: {x, lines: [{name, of(values of a row) => [value for each x]}]}.
function lined({ data, since, until, span, group_by: [by] }, end) {
  const x = [];
  for (let at = since; at < Math.min(until, end); at += span) x.push(at);
  const rows = new Map();
  const most = new Map();
  for (const row of data) {
    const name = row[by] || NONE;
    if (!rows.has(name)) rows.set(name, new Map());
    rows.get(name).set(row.start, row);
    most.set(name, (most.get(name) ?? 0) + row.requests);
  }
  const names = [...rows.keys()].sort((a, b) => most.get(b) - most.get(a));
  const seconds = (at) => Math.max(Math.min(span, end - at), 1);
  const lines = (of) => names.map((label) => ({ label, values: x.map((at) => of(rows.get(label).get(at), seconds(at))) }));
  return { x, lines };
}

const CHARTS = [
  ["Requests per second", count, (row, seconds) => (row ? row.requests / seconds : 0)],
  ["Tokens per second", count, (row, seconds) => (row ? row.tokens.total / seconds : 0)],
  ["Time to first token", duration, (row, _, share) => row?.ttft?.[share] ?? null],
  ["Failed", percent, (row) => (row && row.succeeded + row.failed ? row.failed / (row.succeeded + row.failed) : null)],
];

export function History() {
  const [query, set] = useQuery();
  const by = ["provider", "key"].includes(query.by) ? query.by : "model";
  const share = ["p95", "p99"].includes(query.share) ? query.share : "p50";
  const range = query.range in RANGES ? query.range : "hour";
  const { zoomed, since, until, length } = asked({ ...query, range });
  const key = JSON.stringify([by, range, query.from, query.to]);
  const part = () => {
    const end = zoomed ? until : Math.floor(Date.now() / 60_000) * 60;
    const begin = zoomed ? since : end - length;
    return { since: begin, until: end };
  };
  const options = { every: zoomed ? undefined : 30, key };
  const spans = useLoad("/admin/statistics", () => { const one = part(); return { ...one, span: spanOf(one.since, one.until), group_by: by, top: SERIES }; }, options);
  const sums = useLoad("/admin/statistics", () => ({ ...part(), span: 0, group_by: by, top: ROWS }), options);
  const zoom = (from, to) => to - from >= 120 && set({ from: Math.floor(from / 60) * 60, to: Math.ceil(to / 60) * 60 });

  return html`
    <div class="row">
      <h2 class="grow">How it went</h2>
      <${Choice} label="Time" value=${zoomed ? "" : range} options=${[["hour", "Hour"], ["day", "Day"], ["week", "Week"]]} onInput=${(one) => set({ range: one, from: "", to: "" })} />
      <${Choice} label="By" value=${by} options=${[["model", "Models"], ["provider", "Providers"], ["key", "Keys"]]} onInput=${(one) => set({ by: one })} />
      <${Choice} label="Share" value=${share} options=${[["p50", "p50"], ["p95", "p95"], ["p99", "p99"]]} onInput=${(one) => set({ share: one })} />
    </div>
    ${zoomed && html`<div class="row"><span class="muted">${when(since)} to ${when(until)}</span><button class="small" onClick=${() => set({ from: "", to: "" })}>Show all of the ${range}</button></div>`}
    <${Loaded} from=${spans}>${(content) => html`<${Charts} content=${content} share=${share} zoom=${zoom} />`}<//>
    <${Loaded} from=${sums}>${(content) => html`<${Top} content=${content} by=${by} />`}<//>`;
}

function Charts({ content, share, zoom }) {
  const { x, lines } = useMemo(() => lined(content, Math.min(content.until, Date.now() / 1000)), [content]);
  const shown = useMemo(() => CHARTS.map(([title, format, of]) => [title, format, lines((row, seconds) => of(row, seconds, share))]), [lines, share]);
  if (!content.data.length) return html`<${Card}><${Empty} title="Nothing was asked in this time">Choose a longer time. What ended in the last minute is counted in the next.<//><//>`;
  return html`<div class="grid two">${shown.map(([title, format, series]) => html`<${Card} title=${title === "Time to first token" ? `${title}, ${share}` : title} key=${title}>
    <${Lines} label=${`${title} over time. Draw over a part to see it alone.`} x=${x} sync="history" height=${190} format=${format} series=${series} onZoom=${zoom} />
  <//>`)}</div>`;
}

const TITLES = { model: "Models", provider: "Providers", key: "Keys" };
function Top({ content, by }) {
  const rows = content.data;
  if (!rows.length) return null;
  const all = rows.reduce((sum, row) => sum + row.requests, 0);
  const columns = [
    { name: TITLES[by].slice(0, -1), of: (row) => html`<${Link} to="/requests" query=${{ [by]: row[by], since: content.since, until: content.until }}>${row[by] || NONE}<//>` },
    { name: "Requests", num: true, of: (row) => count(row.requests) },
    { name: "Share", of: (row) => html`<${Bar} plain share=${row.requests / all} label=${`Share of ${row[by] || NONE}`} />` },
    { name: "Failed", num: true, of: (row) => (row.failed ? html`<span class="bad">${percent(row.failed / (row.failed + row.succeeded))}</span>` : percent(0)) },
    { name: "Tokens", num: true, of: (row) => count(row.tokens.total) },
    { name: "TTFT p50", num: true, of: (row) => duration(row.ttft?.p50) },
    { name: "TTFT p99", num: true, of: (row) => duration(row.ttft?.p99) },
    { name: "Latency p50", num: true, of: (row) => duration(row.latency?.p50) },
    { name: "Cost", num: true, of: (row) => money(row.cost) },
  ];
  return html`<${Card} title=${`${TITLES[by]} with most requests`}><${Table} label=${TITLES[by]} columns=${columns} rows=${rows} keyOf=${(row) => row[by]} /><//>`;
}
