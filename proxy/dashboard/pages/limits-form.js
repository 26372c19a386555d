// What a key or a team may take, as fields of a form: rates, slots, a budget. Empty is no limit.
import { html } from "../lib.js";
import { Check, Select, Text } from "../ui.js";

export const PERIODS = [["day", "a day"], ["week", "a week"], ["month", "a month"], ["total", "in all"]];
const number = (text) => (text === "" || text === null || text === undefined ? null : Number.isNaN(Number(text)) ? text : Number(text));

// The form's texts of what an object says; `fields` of other objects are left alone.
export function limitsOf(object = {}) {
  const budget = object.budget || {};
  return {
    rpm: object.rpm ?? "", tpm: object.tpm ?? "", concurrency: object.concurrency ?? "",
    usd: budget.usd ?? "", period: budget.period || "month", strict: Boolean(budget.strict), rest: budget,
  };
}

// The body's fields of the form's texts.
export function limitsBody(form) {
  const { usd, period, strict, ...rest } = { ...form.rest, usd: number(form.usd), period: form.period, strict: form.strict };
  return {
    rpm: number(form.rpm), tpm: number(form.tpm), concurrency: number(form.concurrency),
    budget: usd === null ? null : { ...rest, usd, ...(rest.cron ? {} : { period }), strict },
  };
}

export function LimitFields({ form, set, fault }) {
  const put = (name) => (value) => set({ ...form, [name]: value });
  return html`
    <div class="form two">
      <${Text} label="Requests a minute" inputmode="numeric" value=${form.rpm} onInput=${put("rpm")} fault=${fault("rpm")} placeholder="no limit" />
      <${Text} label="Tokens a minute" inputmode="numeric" value=${form.tpm} onInput=${put("tpm")} fault=${fault("tpm")} placeholder="no limit" />
      <${Text} label="Requests at once" inputmode="numeric" value=${form.concurrency} onInput=${put("concurrency")} fault=${fault("concurrency")} placeholder="no limit" />
    </div>
    <div class="form two">
      <${Text} label="Budget, US dollars" inputmode="decimal" value=${form.usd} onInput=${put("usd")} fault=${fault("budget.usd") || fault("budget")} placeholder="no limit" />
      ${form.rest?.cron
        ? html`<p class="muted">Begins anew at <code>${form.rest.cron}</code> (${form.rest.tz || "UTC"}).</p>`
        : html`<${Select} label="for" value=${form.period} options=${PERIODS} onInput=${put("period")} fault=${fault("budget.period")} />`}
    </div>
    <${Check} label="Strict: begin nothing that could end beyond the budget" checked=${form.strict} onInput=${put("strict")} disabled=${form.usd === ""} />`;
}
