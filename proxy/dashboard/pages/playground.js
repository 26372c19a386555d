// Ask any model in any dialect, and see what goes over the wire. Requests go through the admin listener to the API, as a client's.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "../lib.js";
import { useQuery } from "../router.js";
import { useLoad } from "../use.js";
import { Area, Badge, Card, Check, Choice, clock, count, duration, Field, Loaded, Page, Select, Table, Text } from "../ui.js";
import { Answer } from "./playground-answer.js";
import { Code } from "./playground-code.js";
import { DIALECTS } from "./playground-dialects.js";
import { KeyOfVisit } from "./playground-key.js";
import { speed, start, visit } from "./playground-run.js";

const FIRST = { system: "", prompt: "Say hello in three languages.", temperature: "", maxTokens: "", stream: true, tools: "" };

export default function Playground({ session }) {
  const about = useLoad("/admin/playground");
  return html`<${Page} title="Playground" lead="Ask any model in any dialect, and see what goes over the wire. What is asked here is a request like any other: it is limited, booked and logged.">
    <${Loaded} from=${about}>${(content) => html`<${Desk} about=${content} session=${session} />`}<//><//>`;
}

// Calls of what it returns are shown once a frame, however many there are.
function useFrames() {
  const [, draw] = useState(0);
  const waiting = useRef(0);
  useEffect(() => () => cancelAnimationFrame(waiting.current), []);
  return useCallback(() => {
    waiting.current ||= requestAnimationFrame(() => { waiting.current = 0; draw((n) => n + 1); });
  }, []);
}

function number(text) {
  return text.trim() === "" || Number.isNaN(Number(text)) ? undefined : Number(text);
}

// The form as a dialect's body, and what is wrong with it by field.
function built(form, model, dialect) {
  const faults = {};
  let tools;
  if (form.tools.trim()) {
    try { tools = JSON.parse(form.tools); } catch (error) { faults.tools = `This is no JSON: ${error.message}`; }
    if (tools !== undefined && !Array.isArray(tools)) faults.tools = "A list of tools is expected: [ … ]";
  }
  for (const name of ["temperature", "maxTokens"]) if (form[name].trim() && number(form[name]) === undefined) faults[name] = "A number is expected.";
  const content = DIALECTS[dialect].build({ ...form, model, tools, temperature: number(form.temperature), maxTokens: number(form.maxTokens) });
  return { body: JSON.stringify(content, null, 2), faults };
}

function Desk({ about, session }) {
  const [query, change] = useQuery();
  const [form, setForm] = useState(visit.form ?? FIRST);
  const [edited, edit] = useState(visit.edited);
  const [run, show] = useState(visit.runs[0] ?? null);
  const [address, setAddress] = useState(() => reached(about));
  const drawn = useFrames();
  visit.form = form;
  visit.edited = edited;

  const dialect = DIALECTS[query.dialect] ? query.dialect : "chat";
  const model = query.model ?? about.models.find((one) => !one.name.endsWith("*"))?.name ?? "";
  const put = (name) => (value) => setForm((before) => ({ ...before, [name]: value }));
  const { body, faults } = useMemo(() => built(form, model, dialect), [form, model, dialect]);
  const text = edited ?? body;
  const busy = run && (run.state === "waiting" || run.state === "streaming");
  const current = useRef(null);
  useEffect(() => () => current.current?.stop(), []);

  const stream = form.stream && !DIALECTS[dialect].whole;
  const ready = model.trim() && !busy && (edited !== null || !Object.keys(faults).length);
  const go = (event) => {
    event?.preventDefault();
    if (!ready) return;
    current.current = start({ dialect, model, body: text, stream, key: visit.key?.secret, changed: drawn });
    show(current.current);
  };
  const keys = (event) => { if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) go(event); };

  return html`<div class="stack">
    <div class="split">
      <form class="card stack" onSubmit=${go} onKeyDown=${keys} aria-label="Request">
        <div class="form two">
          <${Model} value=${model} models=${about.models} onInput=${(value) => { change({ model: value }, { replace: true }); if (edited !== null) edit(renamed(edited, value)); }} />
          <${Select} label="Dialect" value=${dialect} options=${Object.entries(DIALECTS).map(([name, one]) => [name, one.words])} onInput=${(value) => { change({ dialect: value }, { replace: true }); edit(null); }} />
        </div>
        <${KeyOfVisit} session=${session} required=${about.key_required} onChange=${drawn} />
        <${Choice} label="How the request is written" value=${edited === null ? "form" : "json"} options=${[["form", "Form"], ["json", "JSON"]]} onInput=${(way) => edit(way === "json" ? text : null)} />
        ${edited === null
          ? html`<${Fields} form=${form} put=${put} faults=${faults} dialect=${dialect} />`
          : html`<${Area} label="Body" class="mono tall" value=${edited} onInput=${edit} spellcheck=${false} hint="Sent as it stands here. Form throws these changes away." />`}
        <div class="row"><button class="primary" disabled=${!ready}>Send</button>
          ${busy && html`<button type="button" onClick=${() => run.stop()}>Stop</button>`}
          <span class="muted small-print">Ctrl+Enter sends</span></div>
      </form>
      <section class="card" aria-label="Answer"><${Answer} run=${run} view=${query.view ?? "answer"} onView=${(view) => change({ view: view === "answer" ? "" : view }, { replace: true })} /></section>
    </div>
    <${Code} request=${{ dialect, model, text, stream }} address=${address} onAddress=${setAddress} />
    ${visit.runs.length > 0 && html`<${Card} title="Of this visit"><${Past} selected=${run} onPick=${show} /><//>`}
  </div>`;
}

// A body with this model in it; as it is where it is no object with one.
function renamed(text, model) {
  let body;
  try { body = JSON.parse(text); } catch { return text; }
  return body && typeof body.model === "string" ? JSON.stringify({ ...body, model }, null, 2) : text;
}

// Where this browser would reach the API: its host where the API listens for everybody, else as it is on that machine.
function reached(about) {
  if (!about.address?.startsWith("http")) return location.origin;
  const url = new URL(about.address);
  if (["0.0.0.0", "::", ""].includes(about.host)) url.hostname = location.hostname;
  return url.origin;
}

function Model({ value, models, onInput }) {
  return html`<${Field} label="Model">${(attributes) => html`<input ...${attributes} list="playground-models" value=${value} onInput=${(event) => onInput(event.target.value)} autocomplete="off" spellcheck=${false} required />
    <datalist id="playground-models">${models.map((one) => html`<option key=${one.name} value=${one.name}>${one.description ?? ""}</option>`)}</datalist>`}<//>`;
}

function Fields({ form, put, faults, dialect }) {
  const { whole, tool } = DIALECTS[dialect];
  if (whole) return html`<${Area} label="Text" value=${form.prompt} onInput=${put("prompt")} />`;
  return html`<div class="stack">
    <${Area} label="System" class="low" value=${form.system} onInput=${put("system")} placeholder="Who the model is, and how it is to answer" />
    <${Area} label="Prompt" value=${form.prompt} onInput=${put("prompt")} />
    <div class="form two">
      <${Text} label="Temperature" inputmode="decimal" value=${form.temperature} onInput=${put("temperature")} fault=${faults.temperature} placeholder="as the model has it" />
      <${Text} label="Most tokens" inputmode="numeric" value=${form.maxTokens} onInput=${put("maxTokens")} fault=${faults.maxTokens} placeholder=${dialect === "messages" ? "1024" : "as the model has it"} />
    </div>
    <${Check} label="Stream the answer" checked=${form.stream} onInput=${put("stream")} />
    <details open=${Boolean(form.tools)}><summary>Tools</summary><div class="stack snug">
      <${Area} label="Tools, as JSON" class="mono" value=${form.tools} onInput=${put("tools")} fault=${faults.tools} hint="A list, in the words of the dialect." spellcheck=${false} />
      <div class="row"><button type="button" class="small" onClick=${() => put("tools")(JSON.stringify([tool], null, 2))}>Put in an example</button></div></div></details>
  </div>`;
}

const Past = ({ selected, onPick }) => html`<${Table} label="Requests of this visit" rows=${visit.runs} keyOf=${(run) => run.number} selected=${selected?.number} onPick=${onPick} columns=${[
  { name: "At", of: (run) => html`<button class="small plain" onClick=${() => onPick(run)}>${clock(run.at)}</button>` },
  { name: "Model", of: (run) => html`<code>${run.model}</code>` },
  { name: "Dialect", of: (run) => DIALECTS[run.dialect].words },
  { name: "Status", of: (run) => html`<${Badge} tone=${run.state === "failed" ? "bad" : ""}>${run.status ?? ""} ${run.state}<//>` },
  { name: "First words", num: true, of: (run) => duration(run.first === null ? null : run.first / 1000) },
  { name: "Tokens a second", num: true, of: (run) => count(speed(run)) },
]} />`;
