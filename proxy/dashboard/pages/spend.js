// What somebody limited has taken of what they may: bars, from a row of /admin/usage.
import { html } from "../lib.js";
import { Bar, money, Time } from "../ui.js";

// `known`: whether the rows were read; what was not is no missing limit.
export function Spend({ usage, known }) {
  if (!known) return html`<span class="muted">–</span>`;
  if (!usage) return html`<span class="muted">no limit</span>`;
  const { budget } = usage;
  const rates = [["rpm", "requests a minute"], ["tpm", "tokens a minute"]].filter(([name]) => usage[name] !== null && usage[name] !== undefined);
  return html`<div class="stack tight">
    ${budget && html`<div>
      <div class="row"><span>${money(budget.spent)} of ${money(budget.limit)}</span>${budget.strict && html`<span class="badge">strict</span>`}</div>
      <${Bar} share=${budget.limit ? (budget.spent + budget.reserved) / budget.limit : 0} label="Budget spent" />
      <div class="muted small">${budget.reserved > 0 && html`${money(budget.reserved)} set aside for what runs. `}${budget.ends && html`Begins anew <${Time} at=${budget.ends} />.`}</div>
    </div>`}
    ${rates.map(([name, words]) => html`<div class="muted small" key=${name}>${limit(usage[name])} ${words}</div>`)}
    ${usage.concurrency !== null && usage.concurrency !== undefined && html`<div class="muted small">${usage.inflight} of ${limit(usage.concurrency)} at once</div>`}
  </div>`;
}

// A limit is a number, or what is left of it beside that.
const limit = (value) => (typeof value === "object" ? value.limit : value).toLocaleString();
