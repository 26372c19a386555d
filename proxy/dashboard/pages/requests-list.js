// The log: as it grows, or a page of it.
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { Link, navigate, useQuery } from "../router.js";
import { query as queried } from "../api.js";
import { useEvents, useLoad } from "../use.js";
import { Badge, Card, count, duration, Empty, Loaded, moment, money, Page, Pager, Table, when } from "../ui.js";
import { Filters, filtered, outcome, parameters, tone } from "./requests-filters.js";

const LIMIT = 50;
// Rows while the log grows: more than one reads, and few enough to be drawn anew each second.
const MOST = 80;
// What is drawn of one, and no more: what is told each second costs a worker that serves requests too.
const FIELDS = "rid,at,state,status,outcome,cause,attempt,asked,model,provider,key,stream,ttft_ms,total_ms,input,cache_read,cache_write,output,cost";
const seconds = (milliseconds) => (milliseconds === null ? null : milliseconds / 1000);
const newest = (a, b) => b.at - a.at || (a.rid < b.rid ? 1 : -1);

// What came since the page was read: {rows, waiting, more, state}. While it is held, what comes waits.
function useTail(on, key, filters, held, reload) {
  const [rows, set] = useState([]);
  const [waiting, wait] = useState([]);
  const [more, miss] = useState(0);
  const stopped = useRef(held);
  stopped.current = held;
  const missed = useRef(false);
  useEffect(() => { set([]); wait([]); miss(0); }, [key, on]);
  const path = useMemo(() => (on ? `/admin/logs/live${queried({ ...filters, fields: FIELDS })}` : null), [on, key]);
  const state = useEvents(path, (name, data) => {
    // What came while nobody was connected is in the page of the log: read now, or when one goes on.
    if (name === "ready") { if (stopped.current) missed.current = true; else reload(); }
    if (name !== "rows") return;
    (stopped.current ? wait : set)((before) => [...data.items, ...before].slice(0, MOST));
    miss((before) => (stopped.current ? before : 0) + data.more);
  });
  useEffect(() => {
    if (held) return;
    if (waiting.length) { set((before) => [...waiting, ...before].slice(0, MOST)); wait([]); }
    if (missed.current) { missed.current = false; reload(); }
  }, [held]);
  return { rows, waiting: waiting.length, more, state: on ? state : "off" };
}

const COLUMNS = [
  { name: "Time", of: (one) => html`<time datetime=${new Date(one.at * 1000).toISOString()} title=${when(one.at)}>${moment(one.at)}</time>` },
  { name: "Model", wide: true, of: (one) => html`<${Link} to=${`/requests/${encodeURIComponent(one.rid)}`} title=${one.rid}>${one.model || one.asked || "–"}<//>${one.asked && one.asked !== one.model ? html`<div class="muted small">asked as ${one.asked}</div>` : ""}` },
  { name: "Provider", of: (one) => one.provider || "–" },
  { name: "Key", of: (one) => one.key || "–" },
  { name: "Outcome", of: (one) => html`<span class="row tight"><${Badge} tone=${tone(one)}>${one.state === "ended" ? one.status || "–" : one.state}<//>${one.state === "ended" && one.outcome !== "ok" && html`<span class="muted small">${outcome(one.outcome)}${one.cause && `: ${one.cause.replaceAll("_", " ")}`}</span>`}${one.attempt > 1 && html`<${Badge} tone="warn">${one.attempt} attempts<//>`}</span>` },
  { name: "TTFT", num: true, of: (one) => (one.stream ? duration(seconds(one.ttft_ms)) : "–") },
  { name: "Total", num: true, of: (one) => duration(seconds(one.total_ms)) },
  { name: "In", num: true, of: (one) => count(one.input + one.cache_read + one.cache_write) },
  { name: "Out", num: true, of: (one) => count(one.output) },
  { name: "Cost", num: true, of: (one) => money(one.cost) },
];

export function List() {
  const [query, set] = useQuery();
  const [held, hold] = useState(false);
  const key = JSON.stringify([parameters({ ...query, last: "" }), query.last, query.after]);
  // Older pages and times that are over do not grow.
  const growing = query.live !== "off" && !query.after && !query.until;
  const from = useLoad("/admin/logs", () => ({ ...parameters(query), after: query.after, limit: LIMIT }), { key: `${key} ${growing}` });
  const tail = useTail(growing, key, parameters(query), held, from.reload);
  const there = Boolean(from.data?.items.length || tail.rows.length);
  const rows = useMemo(() => {
    const all = new Map();
    for (const one of [...tail.rows, ...(from.data?.items ?? [])]) if (!all.has(one.rid) || one.state === "ended") all.set(one.rid, one);
    return [...all.values()].sort(newest).slice(0, growing ? MOST : undefined);
  }, [tail.rows, from.data, growing]);
  const download = (format) => `/admin/logs/export${queried({ ...parameters(query), format })}`;
  const actions = html`
    <${Tailing} tail=${tail} growing=${growing} held=${held} hold=${hold} query=${query} set=${set} />
    <a class="button" href=${download("csv")} download="headrace-requests.csv">CSV</a>
    <a class="button" href=${download("ndjson")} download="headrace-requests.ndjson">NDJSON</a>`;
  return html`<${Page} title="Requests" actions=${actions}>
    <${Card}>
      <${Filters} query=${query} set=${set} />
      ${tail.more > 0 && html`<p class="muted" role="status">and ${count(tail.more)} more in the last second, which are not shown</p>`}
      ${from.error?.status === 503 && !query.last && !query.since && html`<p class="muted">Without a time everything that is kept is searched: choose a shorter one.</p>`}
      <${Loaded} from=${from} lines=${6}>${(content) => (!there
        ? html`<${Nothing} content=${content} query=${query} />`
        : html`<${Table} label="Requests" rows=${rows} keyOf=${(one) => one.rid} columns=${COLUMNS} still onPick=${(one) => navigate(`/requests/${encodeURIComponent(one.rid)}`)} />
          <${Pager} after=${query.after} next=${content.next} go=${(after) => { set({ after }); scrollTo({ top: 0 }); }} />`)}<//>
    <//>
  <//>`;
}

const STATES = { connecting: ["", "Connecting …"], live: ["good", "Live"], lost: ["warn", "Connection lost: trying again"], refused: ["", "Not live"] };
function Tailing({ tail, growing, held, hold, query, set }) {
  if (!growing) {
    return query.until || query.after
      ? html`<button onClick=${() => set({ live: "", after: "", until: "" })}>Go to the newest</button>`
      : html`<button onClick=${() => set({ live: "" })}>Watch live</button>`;
  }
  const [colour, words] = STATES[tail.state] ?? STATES.connecting;
  return html`<span role="status"><${Badge} tone=${held ? "warn" : colour} live=${tail.state === "live" && !held}>${held ? (tail.waiting ? `Paused: ${count(tail.waiting)} new` : "Paused") : words}<//></span>
    <button aria-pressed=${held} onClick=${() => hold(!held)}>${held ? "Go on" : "Pause"}</button>
    <button onClick=${() => { hold(false); set({ live: "off" }); }}>Stop</button>`;
}

function Nothing({ content, query }) {
  if (content.note) return html`<${Empty} title="Requests are not kept here">${content.note} With a database (<code>store.url</code>) they can be searched on this page.<//>`;
  if (query.after) return html`<${Empty} title="There are no more">This was the last page.<//>`;
  if (filtered(query)) return html`<${Empty} title="No request fits">Change the filters above, or choose a longer time. A request is here some tenths of a second after its end.<//>`;
  return html`<${Empty} title="Nothing was asked yet" action=${html`<${Link} class="button primary" to="/playground">Ask something in the playground<//>`}>Each request is one line here: who asked which model, who answered, how long it took and what it cost. New ones appear by themselves.<//>`;
}
