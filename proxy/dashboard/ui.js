// The pieces that pages are made of. Each is a function of what it shows; what they look like is in style.css.
import { html, render, useEffect, useLayoutEffect, useRef, useState } from "./lib.js";

// --- words and numbers ---------------------------------------------------------------------------------------------

const NUMBER = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const SMALL = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });
const COMPACT = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const RELATIVE = new Intl.RelativeTimeFormat(undefined, { numeric: "auto", style: "short" });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATED = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
const UNKNOWN = "–";
const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

// What is less than one has two digits, so that little is not mistaken for nothing.
const digits = (value) => (Math.abs(value) < 1 ? SMALL : NUMBER).format(value);
export const count = (value) => (!known(value) ? UNKNOWN : Math.abs(value) >= 100_000 ? COMPACT.format(value) : digits(value));
// Nor is nearly all mistaken for all.
export function percent(share) {
  if (!known(share)) return UNKNOWN;
  const left = 100 - share * 100;
  return `${left > 1e-9 && left < 0.1 ? (100 - Number(left.toPrecision(1))).toLocaleString(undefined, { maximumFractionDigits: 9 }) : digits(share * 100)} %`;
}
export function money(dollars) {
  if (!known(dollars)) return UNKNOWN;
  if (dollars === 0) return "$0";
  const small = Math.abs(dollars) < 1;
  return `${dollars < 0 ? "-" : ""}$${Math.abs(dollars).toLocaleString(undefined, small ? { maximumSignificantDigits: 3 } : { minimumFractionDigits: 2, maximumFractionDigits: 2 })}`;
}
// Seconds to words: 850 µs, 12.3 ms, 4.2 s, 3 min.
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds === 0) return "0";
  if (seconds < 0.001) return `${NUMBER.format(seconds * 1e6)} µs`;
  if (seconds < 1) return `${NUMBER.format(seconds * 1000)} ms`;
  if (seconds < 120) return `${NUMBER.format(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return seconds < 172_800 ? `${NUMBER.format(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`;
}
export function ago(unix, at = Date.now() / 1000) {
  const seconds = unix - at;
  const far = Math.abs(seconds);
  for (const [unit, size] of [["day", 86_400], ["hour", 3600], ["minute", 60]]) {
    if (far >= size) return RELATIVE.format(Math.trunc(seconds / size), unit);
  }
  return RELATIVE.format(Math.trunc(seconds), "second");
}
// A Unix time in the reader's zone.
export const when = (unix) => (known(unix) ? FULL.format(unix * 1000) : UNKNOWN);
export const clock = (unix) => (known(unix) ? CLOCK.format(unix * 1000) : UNKNOWN);
// The same with its day, where that is not today.
export const moment = (unix) => (known(unix) && new Date(unix * 1000).toDateString() !== new Date().toDateString() ? DATED.format(unix * 1000) : clock(unix));

export function Time({ at, relative = true }) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!relative || !known(at)) return undefined;
    const timer = setInterval(() => tick((n) => n + 1), 15_000);
    return () => clearInterval(timer);
  }, [at, relative]);
  if (!known(at)) return UNKNOWN;
  return html`<time datetime=${new Date(at * 1000).toISOString()} title=${when(at)}>${relative ? ago(at) : when(at)}</time>`;
}

// --- frame of a page -----------------------------------------------------------------------------------------------

export function Page({ title, lead, actions, children }) {
  useEffect(() => { document.title = `${title} · Headrace`; }, [title]);
  return html`
    <div class="head"><h1 tabindex="-1">${title}</h1>${actions}${lead && html`<p class="lead">${lead}</p>`}</div>
    <div class="stack">${children}</div>`;
}
export const Card = ({ title, actions, children, ...rest }) => html`
  <section class="card" ...${rest}>${title && html`<header><h2>${title}</h2>${actions}</header>`}${children}</section>`;
export const Tile = ({ label, value, note, tone }) => html`
  <div class="tile"><div class="label">${label}</div><div class="value ${tone || ""}">${value}</div>${note && html`<div class="note">${note}</div>`}</div>`;
export const Badge = ({ tone = "", live = false, children, ...rest }) => html`<span class="badge ${tone} ${live ? "live" : ""}" ...${rest}>${children}</span>`;
export const Bar = ({ share, label }) => html`
  <div class="bar ${share >= 1 ? "bad" : share >= 0.8 ? "warn" : ""}" role="meter" aria-label=${label} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.round(Math.min(share, 1) * 100)}><span style=${{ width: `${Math.min(share, 1) * 100}%` }}></span></div>`;
export const Facts = ({ items }) => html`<dl class="facts">${items.filter(Boolean).map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;

// --- states --------------------------------------------------------------------------------------------------------

export const Empty = ({ title, children, action }) => html`<div class="empty"><h2>${title}</h2><p>${children}</p>${action}</div>`;
export const Loading = ({ lines = 3 }) => html`<div class="stack" role="status" aria-label="Loading">${Array.from({ length: lines }, (_, n) => html`<div class="skeleton" style=${{ width: `${90 - n * 17}%` }}></div>`)}</div>`;
export function Failure({ error, retry }) {
  if (!error) return null;
  return html`<div class="failure" role="alert">
    <div class="row"><span>${error.message}</span>${retry && html`<button class="small" onClick=${retry}>Try again</button>`}</div>
    ${error.faults?.length > 0 && html`<ul>${error.faults.map((fault) => html`<li>${fault.field && html`<code>${fault.field}</code> `}${fault.message}</li>`)}</ul>`}
    ${error.requestId && html`<div class="muted">Request <code>${error.requestId}</code></div>`}
  </div>`;
}
// What a load (use.js) has: nothing yet, a failure, or something to show.
export function Loaded({ from, children, lines }) {
  if (from.data !== undefined) return html`${from.error && html`<${Failure} error=${from.error} retry=${from.reload} />`}${children(from.data)}`;
  return from.error ? html`<${Failure} error=${from.error} retry=${from.reload} />` : html`<${Loading} lines=${lines} />`;
}

// --- tables --------------------------------------------------------------------------------------------------------

// columns: [{name, of: (row) => content, num, wide}], rows: anything with a key. `still`: what is made of a row is the same as
// long as the row is the same object: hundreds of them that a few join each second are not made anew then.
export function Table({ label, columns, rows, keyOf = (row) => row.id, onPick, selected, still }) {
  const made = useRef(new WeakMap());
  const pick = (row) => onPick && { class: "pick", tabindex: 0, "aria-selected": selected === keyOf(row), onClick: (event) => event.target.closest("button, a, input, select") || onPick(row), onKeyDown: (event) => { if (event.key === "Enter" && event.target === event.currentTarget) onPick(row); } };
  const line = (row) => html`<tr key=${keyOf(row)} ...${pick(row)}>${columns.map((column) => html`<td class=${`${column.num ? "num" : ""} ${column.wide ? "wide" : ""}`}>${column.of(row)}</td>`)}</tr>`;
  const kept = (row) => {
    if (!made.current.has(row)) made.current.set(row, line(row));
    return made.current.get(row);
  };
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}><table>
    <thead><tr>${columns.map((column) => html`<th scope="col" class=${column.num ? "num" : ""}>${column.name}</th>`)}</tr></thead>
    <tbody>${rows.map(still ? kept : line)}</tbody>
  </table></div>`;
}
// `next` of a list of the admin API, as the query's `after`.
export const Pager = ({ after, next, go }) => (after || next) && html`<nav class="row end" aria-label="Pages">
  ${after && html`<button class="small" onClick=${() => go("")}>First page</button>`}
  <button class="small" disabled=${!next} onClick=${() => go(next)}>Next page</button></nav>`;

// --- what is typed and chosen ----------------------------------------------------------------------------------------

let ids = 0;
export function useId() {
  const ref = useRef(null);
  ref.current ??= `f${++ids}`;
  return ref.current;
}
// A label, one control, a hint and what is wrong with it. `children` is a function of the attributes the control needs.
export function Field({ label, hint, fault, children }) {
  const id = useId();
  const described = [hint && `${id}-hint`, fault && `${id}-fault`].filter(Boolean).join(" ") || undefined;
  return html`<div class="field"><label for=${id}>${label}</label>
    ${children({ id, "aria-describedby": described, "aria-invalid": fault ? "true" : undefined })}
    ${hint && html`<span class="hint" id="${id}-hint">${hint}</span>`}
    ${fault && html`<span class="fault" id="${id}-fault">${fault}</span>`}</div>`;
}
export const Text = ({ label, hint, fault, value, onInput, ...rest }) => html`<${Field} label=${label} hint=${hint} fault=${fault}>${(attributes) => html`<input ...${attributes} ...${rest} value=${value ?? ""} onInput=${(event) => onInput(event.target.value)} />`}<//>`;
export const Area = ({ label, hint, fault, value, onInput, ...rest }) => html`<${Field} label=${label} hint=${hint} fault=${fault}>${(attributes) => html`<textarea ...${attributes} ...${rest} value=${value ?? ""} onInput=${(event) => onInput(event.target.value)}></textarea>`}<//>`;
// options: [value, …] or [[value, words], …]
export const Select = ({ label, hint, fault, value, options, onInput, ...rest }) => html`<${Field} label=${label} hint=${hint} fault=${fault}>${(attributes) => html`<select ...${attributes} ...${rest} onChange=${(event) => onInput(event.target.value)}>${options.map((one) => { const [key, words] = Array.isArray(one) ? one : [one, one]; return html`<option value=${key} selected=${key === value}>${words}</option>`; })}</select>`}<//>`;
export const Check = ({ label, checked, onInput, ...rest }) => html`<label class="check"><input type="checkbox" checked=${checked} onChange=${(event) => onInput(event.target.checked)} ...${rest} />${label}</label>`;
export const Choice = ({ label, value, options, onInput }) => html`<div class="choice" role="group" aria-label=${label}>${options.map(([key, words]) => html`<button type="button" aria-pressed=${key === value} onClick=${() => onInput(key)}>${words}</button>`)}</div>`;
export function Tabs({ label, value, options, onInput }) {
  const keys = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const at = options.findIndex(([key]) => key === value);
    onInput(options[(at + step + options.length) % options.length][0]);
    event.currentTarget.children[(at + step + options.length) % options.length].focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${keys}>${options.map(([key, words]) => html`<button type="button" role="tab" aria-selected=${key === value} tabindex=${key === value ? 0 : -1} onClick=${() => onInput(key)}>${words}</button>`)}</div>`;
}
// Without TLS a page has no clipboard: what is selected can be copied all the same. Beside an open dialog nothing can be selected.
function copied(text) {
  const back = document.activeElement;
  const field = Object.assign(document.createElement("textarea"), { value: text, className: "hidden-visually", readOnly: true });
  ([...document.querySelectorAll("dialog[open]")].pop() ?? document.body).append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  back?.focus();
  return done;
}
export function Copy({ text, label = "Copy" }) {
  const [done, set] = useState(false);
  const copy = async () => {
    try { await navigator.clipboard.writeText(text); } catch { if (!copied(text)) return toast("The browser does not let this page copy. Select the text and copy it."); }
    set(true);
    setTimeout(() => set(false), 1500);
    return undefined;
  };
  return html`<button type="button" class="small" onClick=${copy} aria-live="polite">${done ? "Copied" : label}</button>`;
}
// Does something that takes a while: is off meanwhile, and says what went wrong.
export function Action({ run, children, done, ...rest }) {
  const [busy, set] = useState(false);
  const go = async () => {
    set(true);
    try { await run(); if (done) toast(done); } catch (error) { toast(explain(error), { tone: "bad" }); } finally { set(false); }
  };
  return html`<button type="button" ...${rest} disabled=${busy || rest.disabled} aria-busy=${busy} onClick=${go}>${children}</button>`;
}
export const explain = (error) => [error.message, ...(error.faults || []).map((fault) => `${fault.field}: ${fault.message}`)].join(" ");

// --- over the page ---------------------------------------------------------------------------------------------------

export function Dialog({ title, onClose, wide, children }) {
  const ref = useRef(null);
  const id = useId();
  useLayoutEffect(() => {
    const back = document.activeElement;
    const dialog = ref.current;
    dialog.showModal();
    above();
    dialog.querySelector(".body :is(input, select, textarea):not(:disabled)")?.focus();
    return () => { dialog.close(); above(); if (back?.isConnected) back.focus(); };
  }, []);
  return html`<dialog ref=${ref} class=${wide ? "wide" : ""} aria-labelledby=${id} onCancel=${(event) => { event.preventDefault(); onClose(); }}>
    <header><h2 id=${id}>${title}</h2><button type="button" class="plain" aria-label="Close" onClick=${onClose}>✕</button></header>
    <div class="body">${children}</div></dialog>`;
}
// Before what cannot be undone. `word`: has to be typed first.
export function Confirm({ title, children, action = "Delete", word, run, onClose }) {
  const [typed, set] = useState("");
  const [error, fail] = useState(null);
  const [busy, work] = useState(false);
  const go = async (event) => {
    event.preventDefault();
    work(true);
    try { await run(); onClose(); } catch (failure) { fail(failure); work(false); }
  };
  return html`<${Dialog} title=${title} onClose=${onClose}><form class="stack" onSubmit=${go}>
    <div>${children}</div>
    ${word && html`<${Text} label=${`Type ${word} to go on`} value=${typed} onInput=${set} autocomplete="off" />`}
    <${Failure} error=${error} />
    <footer><button type="button" onClick=${onClose}>Cancel</button><button class="primary danger" disabled=${busy || (word && typed !== word)}>${action}</button></footer>
  </form><//>`;
}
// A form in a dialog: `save` gets what the form holds (`value`), its problems are shown by field and above the buttons.
export function FormDialog({ title, action = "Save", save, onClose, wide, children }) {
  const [error, fail] = useState(null);
  const [busy, work] = useState(false);
  const go = async (event) => {
    event.preventDefault();
    work(true);
    try { await save(); } catch (failure) { fail(failure); } finally { work(false); }
  };
  const form = useRef(null);
  // What is wrong is where one goes on.
  useEffect(() => { if (error) form.current?.querySelector("[aria-invalid='true']")?.focus(); }, [error]);
  const fault = (name) => error?.faults?.find((one) => one.field === name)?.message;
  return html`<${Dialog} title=${title} onClose=${onClose} wide=${wide}><form class="stack" ref=${form} onSubmit=${go} novalidate>
    ${children(fault)}<${Failure} error=${error} />
    <footer><button type="button" onClick=${onClose}>Cancel</button><button class="primary" disabled=${busy} aria-busy=${busy}>${action}</button></footer>
  </form><//>`;
}

let put = () => {};
// A line at the edge for some seconds; with `undo` a button that takes back what was done.
export function toast(text, { tone = "", undo } = {}) { put({ text, tone, undo, key: ++ids }); }
function Toasts() {
  const [shown, set] = useState([]);
  const drop = (key) => set((all) => all.filter((one) => one.key !== key));
  put = (one) => { set((all) => [...all.slice(-3), one]); setTimeout(() => drop(one.key), one.undo || one.tone ? 10_000 : 4000); };
  const undo = async (one) => { drop(one.key); try { await one.undo(); } catch (error) { toast(explain(error), { tone: "bad" }); } };
  return html`<div class="toasts" role="status" aria-live="polite">${shown.map((one) => html`<div key=${one.key} class="toast ${one.tone}"><span>${one.text}</span>
    ${one.undo && html`<button type="button" class="small" onClick=${() => undo(one)}>Undo</button>`}<button type="button" class="plain small" aria-label="Dismiss" onClick=${() => drop(one.key)}>✕</button></div>`)}</div>`;
}
// Beside a dialog everything is out of reach, so these stand inside the one on top, or else in the page.
const toasts = document.createElement("div");
function above() { ([...document.querySelectorAll("dialog[open]")].pop() ?? document.body).append(toasts); }
export function mountToasts() { render(html`<${Toasts} />`, toasts); above(); }
