// What is asked for of the log: in the address, on the form, and as parameters of the admin API.
import { html } from "../lib.js";
import { useLoad } from "../use.js";
import { Check, Select, Text } from "../ui.js";
import { Typed } from "./typed.js";

// Names of the admin API, which are those in the address too.
export const NAMES = ["model", "provider", "key", "team", "status", "outcome", "stream", "failed", "min_cost", "since", "until"];
const LAST = [["", "Any time"], ["900", "Last 15 minutes"], ["3600", "Last hour"], ["86400", "Last day"], ["604800", "Last week"], ["between", "Between …"]];
const STATUS = ["2xx", "4xx", "5xx", "400", "401", "404", "408", "413", "422", "429", "499", "500", "502", "503", "504"];
const OUTCOMES = [["ok", "answered"], ["rejected", "refused by Headrace"], ["refused", "refused by the provider"], ["failed", "nobody answered"], ["truncated", "broke off"], ["upstream_error", "broke off with an error"], ["client_gone", "client left"], ["deadline", "out of time"], ["unknown", "unknown"]];

export const filtered = (query) => NAMES.some((name) => query[name]) || Boolean(query.last);

// As the API has them; times that depend on when one looks are worked out now.
export function parameters(query) {
  const found = Object.fromEntries(NAMES.filter((name) => query[name]).map((name) => [name, query[name]]));
  if (Number(query.last) > 0) found.since = Math.floor(Date.now() / 1000 - Number(query.last));
  return found;
}

// A Unix time as an input for local times has it, and back.
function local(unix) {
  const time = new Date(unix * 1000);
  if (!unix || Number.isNaN(time.getTime())) return "";
  return new Date(time - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
}
const unix = (text) => (text ? Math.floor(new Date(text) / 1000) : "");

export function Filters({ query, set }) {
  const status = useLoad("/admin/status");
  const providers = Object.keys(status.data?.providers ?? {});
  const ids = Object.values(status.data?.providers ?? {}).flatMap((one) => Object.keys(one.deployments));
  const models = [...new Set(ids.map((id) => /^(.*)\/\d+:/.exec(id)?.[1]).filter(Boolean))].sort();
  const put = (changes) => set({ ...changes, after: "" });
  const fixed = query.since || query.until;
  const last = fixed || query.last === "between" ? "between" : query.last || "";
  const choose = (key) => put({ last: key, ...(key === "between" ? { since: Math.floor(Date.now() / 1000) - 3600, until: "" } : { since: "", until: "" }) });
  const statuses = [["", "any"], ...STATUS, ...(query.status && !STATUS.includes(query.status) ? [query.status] : [])];
  return html`<div class="filters" role="search" aria-label="Filters">
    <${Select} label="Time" value=${last} options=${LAST} onInput=${choose} />
    ${last === "between" && html`
      <${Text} label="From" type="datetime-local" step="1" value=${local(query.since)} onInput=${(text) => put({ since: unix(text), last: "between" })} />
      <${Text} label="Until" type="datetime-local" step="1" value=${local(query.until)} onInput=${(text) => put({ until: unix(text), last: "between" })} />`}
    <${Typed} label="Model" name="model" query=${query} set=${set} list="requests-models" placeholder="any" />
    <${Typed} label="Provider" name="provider" query=${query} set=${set} list="requests-providers" placeholder="any" />
    <${Typed} label="Key" name="key" query=${query} set=${set} placeholder="any" />
    <${Select} label="Status" value=${query.status || ""} options=${statuses} onInput=${(status) => put({ status })} />
    <${Select} label="Outcome" value=${query.outcome || ""} options=${[["", "any"], ...OUTCOMES]} onInput=${(outcome) => put({ outcome })} />
    <${Select} label="Streamed" value=${query.stream || ""} options=${[["", "any"], ["true", "streams"], ["false", "whole answers"]]} onInput=${(stream) => put({ stream })} />
    <${Typed} label="Cost from, $" name="min_cost" query=${query} set=${set} type="number" min="0" step="any" placeholder="0" />
    <div class="field end"><${Check} label="Failed only" checked=${query.failed === "true"} onInput=${(on) => put({ failed: on ? "true" : "" })} /></div>
    ${filtered(query) && html`<div class="field end"><button class="small" onClick=${() => put({ ...Object.fromEntries(NAMES.map((name) => [name, ""])), last: "" })}>Clear filters</button></div>`}
    <datalist id="requests-models">${models.map((name) => html`<option key=${name} value=${name}></option>`)}</datalist>
    <datalist id="requests-providers">${providers.map((name) => html`<option key=${name} value=${name}></option>`)}</datalist>
  </div>`;
}

const WORDS = Object.fromEntries(OUTCOMES);
export const outcome = (name) => WORDS[name] ?? name.replaceAll("_", " ");
export function tone({ state, status, outcome: how }) {
  if (state !== "ended") return "";
  if (how === "ok") return "good";
  return status === 499 || (status >= 400 && status < 500) ? "warn" : "bad";
}
