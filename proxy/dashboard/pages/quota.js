// What somebody who is limited has taken: bars for budgets and quotas, numbers for rates.
import { html } from "../lib.js";
import { Bar, count, money, Time } from "../ui.js";

const Row = ({ name, used, limit, words = count, until }) => html`<div><div class="row small"><span>${name}</span><span class="muted">${words(used)} of ${words(limit)}${until ? html` · anew <${Time} at=${until} />` : ""}</span></div><${Bar} share=${limit ? used / limit : 0} label=${name} /></div>`;

// An entry of /admin/usage; null: nothing limits it.
export function Usage({ of: usage }) {
  if (!usage) return html`<span class="muted">no limits</span>`;
  const { budget, quota, rpm, tpm, concurrency, inflight } = usage;
  return html`<div class="stack tight">
    ${budget && html`<${Row} name="Budget" used=${budget.spent} limit=${budget.limit} words=${money} until=${budget.ends} />`}
    ${quota?.limit_requests && html`<${Row} name="Quota, requests" used=${quota.requests} limit=${quota.limit_requests} until=${quota.ends} />`}
    ${quota?.limit_tokens && html`<${Row} name="Quota, tokens" used=${quota.tokens} limit=${quota.limit_tokens} until=${quota.ends} />`}
    ${concurrency && html`<${Row} name="At once" used=${inflight} limit=${concurrency} />`}
    ${(rpm || tpm) && html`<span class="muted small">${[rpm && `${count(rpm)} requests/min`, tpm && `${count(tpm)} tokens/min`].filter(Boolean).join(" · ")}</span>`}
  </div>`;
}
