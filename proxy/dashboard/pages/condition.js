// How a provider, a credential or a deployment is, in words and colours: what the pages about providers and models share.
import { html, useEffect, useState } from "../lib.js";
import { useLoad } from "../use.js";
import { Badge, Copy, count, duration, Time } from "../ui.js";

export const CAUSES = {
  http_429: "too many requests, the provider says (429)",
  http_401: "the provider refused it (401 or 403)",
  http_402: "nothing is left to spend, the provider says",
};
const CHECKS = { ok: ["good", "answered"], failed: ["bad", "did not answer"], limited: ["warn", "answered: too many requests"], refused: ["bad", "refused the credential"], unknown: ["", "answered, but says nothing about it"] };
const STATES = { healthy: ["good", "healthy"], degraded: ["warn", "degraded"], unhealthy: ["bad", "out"] };
const KEYS = { usable: ["good", "usable"], cooling: ["warn", "cooling down"], bad: ["bad", "resting"], unused: ["", "not in use"] };
const UNUSED = { disabled: "disabled", "no credential": "no credential", "no weight": "weight 0", "provider out of use": "provider not in use" };

// Seconds until a Unix time, counted down in front of the reader.
export function Countdown({ until }) {
  const [, tick] = useState(0);
  const left = until - Date.now() / 1000;
  useEffect(() => {
    if (left <= 0) return undefined;
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, [until, left <= 0]);
  return html`<span class="countdown">${left > 0 ? duration(left < 120 ? Math.ceil(left) : left) : "now"}</span>`;
}

// `live` of a provider, model or deployment.
export function Health({ live, enabled = true }) {
  if (enabled === false) return html`<${Badge}>disabled<//>`;
  if (!live?.served) return html`<${Badge} tone=${live?.why === "no credential" ? "warn" : ""}>${UNUSED[live?.why] || "not in use"}<//>`;
  if (live.status === "unused") return html`<${Badge}>serves nothing<//>`;
  if (!live.usable && live.status !== "unhealthy") return html`<${Badge} tone="bad" live title="All credentials rest, or a limit is reached">resting<//>`;
  const [tone, word] = STATES[live.status];
  return html`<${Badge} tone=${tone} live>${word}<//>${live.retry_at && html` <span class="muted">tried again in <${Countdown} until=${live.retry_at} /></span>`}`;
}

// Requests under way: each worker counts its own.
export const InFlight = ({ live }) => html`${count(live?.inflight ?? 0)}${live?.inflight_of === "worker" && html` <abbr class="muted small" title="At the worker that answered this page; the others have more">here</abbr>`}`;

export const KeyState = ({ state }) => html`<${Badge} tone=${KEYS[state][0]}>${KEYS[state][1]}<//>`;

// {usable: 3, cooling: 1} of credentials.
export function Keys({ of: states }) {
  const all = Object.entries(states || {});
  if (!all.length) return html`<span class="muted">none</span>`;
  return html`<span class="row">${["usable", "cooling", "bad"].filter((state) => states[state]).map((state) => html`<${Badge} key=${state} tone=${KEYS[state][0]}>${states[state]} ${KEYS[state][1]}<//>`)}</span>`;
}

export function LastCheck({ of: check, way }) {
  if (way === "off") return html`<span class="muted">not checked</span>`;
  if (way === "masked") return html`<span class="muted">too dear to check</span>`;
  if (!check) return html`<span class="muted">not checked yet</span>`;
  const [tone, words] = CHECKS[check.outcome] || ["", check.outcome];
  return html`<span class=${tone}>${words}</span> <span class="muted"><${Time} at=${check.at} /></span>`;
}

// The same as a page does, for a terminal.
export function Command({ path, body }) {
  const text = `curl ${location.origin}${path} \\\n  -H "Authorization: Bearer $HEADRACE_ADMIN_TOKEN" -H 'content-type: application/json' \\\n  -d '${JSON.stringify(body)}'`;
  return html`<div class="command"><pre tabindex="0" aria-label="Command">${text}</pre><${Copy} text=${text} /></div>`;
}

export const OfFile = () => html`<${Badge} title="From the configuration file: it is changed there">file<//>`;

// Why something cannot be changed here, and what to do instead.
export function FileNotice({ what }) {
  const status = useLoad("/admin/status");
  const file = status.data?.file;
  return html`<div class="notice info">This ${what} is in the configuration file${file && html`, <code>${file}</code>`}, so it is changed there. After that, <code>headrace reload</code> has it read anew. Others can be added here, beside it.</div>`;
}

// Sums of the last `seconds`, by one dimension: {name: row}, and `asked(name)`, how many requests, which is undefined while
// that is not known.
export function useLately(by, filters = {}, seconds = 3600) {
  const load = useLoad("/admin/statistics", () => ({ group_by: by, span: 0, since: Math.floor(Date.now() / 1000 - seconds), ...filters }), { every: 30, key: JSON.stringify([by, filters, seconds]) });
  // Without a prototype: a name may be `constructor`.
  const rows = Object.assign(Object.create(null), Object.fromEntries((load.data?.data || []).map((row) => [row[by], row])));
  return { ...load, rows, asked: (name) => load.data && (rows[name]?.requests ?? 0) };
}
