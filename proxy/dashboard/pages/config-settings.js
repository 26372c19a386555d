// Sections of the configuration that can be set in the database too. What the file says of one wins, field by field.
import { html, useState } from "../lib.js";
import { get, send } from "../api.js";
import { useLoad } from "../use.js";
import { Action, Area, Badge, Confirm, FormDialog, Loaded, Select, Table, Text, Time, toast } from "../ui.js";
import { Origin } from "./config-objects.js";

const WORDS = {
  defaults: "What applies where a provider, model or deployment says nothing else: strategy, timeouts, retries.",
  health: "When a deployment is taken out, and when it comes back.",
  auth: "Which requests need a virtual key.",
  logging: "How much is logged, and whether what is asked and answered is kept.",
  limits: "What may be taken by everybody together.",
  teams: "Limits of teams, by their names.",
  prices: "Prices of models, by the names their providers have for them.",
};
// Only the file may say which files this machine writes.
const FILE_ONLY = new Set(["logging.file"]);
const ABOUT = new Set(["id", "kind", "name", "source", "read_only", "revision", "created", "updated", "set", "warnings", "live"]);
const fieldsOf = (one) => Object.fromEntries(Object.entries(one ?? {}).filter(([name]) => !ABOUT.has(name)));

// Schemas of all sections: large, so read once, when the first is edited.
let schemas = null;
async function schemaOf(name) {
  schemas ??= get("/openapi.json").then((document) => document.components.schemas);
  try { return (await schemas)[name[0].toUpperCase() + name.slice(1)]; } catch (error) { schemas = null; throw error; }
}

export function Settings() {
  const list = useLoad("/admin/settings", { limit: 100 });
  const file = useLoad("/admin/config/file");
  const [edited, edit] = useState(null);
  const [dropped, drop] = useState(null);
  return html`<${Loaded} from=${list}>${({ data }) => {
    const rows = Object.keys(WORDS).map((name) => ({
      id: name, file: data.find((one) => one.name === name && one.source === "file"), store: data.find((one) => one.name === name && one.source === "store"),
    }));
    const open = async (row) => edit({ ...row, schema: await schemaOf(row.id) });
    const columns = [
      { name: "Setting", wide: true, of: (row) => html`<div><strong>${row.id}</strong></div><span class="muted">${WORDS[row.id]}</span>` },
      { name: "Said by", of: (row) => html`<div class="row">${row.file && html`<${Origin} one=${row.file} lines=${file.data?.lines} />`}${row.store && html`<${Origin} one=${row.store} />`}${!row.file && !row.store && html`<${Badge}>nobody: usual values<//>`}</div>` },
      { name: "Changed", of: (row) => (row.store ? html`<${Time} at=${row.store.updated} />` : "") },
      { name: "", of: (row) => html`<div class="row end"><${Action} class="small" aria-label="Edit ${row.id}" run=${() => open(row)}>Edit<//>${row.store && html`<button class="small danger" aria-label="Take ${row.id} out of the database" onClick=${() => drop(row)}>Take out</button>`}</div>` },
    ];
    return html`<div class="card"><${Table} label="Settings" columns=${columns} rows=${rows} /></div>
      ${edited && html`<${Edit} row=${edited} onClose=${() => edit(null)} onDone=${() => { edit(null); list.reload(); }} />`}
      ${dropped && html`<${Confirm} title="Take ${dropped.id} out of the database?" action="Take out" onClose=${() => drop(null)} run=${async () => { await send("DELETE", `/admin/settings/${dropped.id}`, undefined, { revision: dropped.store.revision }); list.reload(); }}>
        What the file says of it holds then, and usual values else.<//>`}`;
  }}<//>`;
}

// --- one setting as a form ---

const isOpen = (schema) => !Object.keys(schema.properties ?? {}).length;
const choices = (schema) => (schema.type === "boolean" ? [true, false] : schema.enum ?? null);
const kinds = (schema) => (schema.anyOf ?? [schema]).map((one) => one.type ?? (one.$ref ? "object" : ""));
const isText = (schema) => choices(schema) === null && !kinds(schema).some((kind) => kind === "object" || kind === "array" || kind === "");
const word = (value) => (value === true ? "yes" : value === false ? "no" : value === null || value === undefined ? "" : String(value));

// A value as it stands in its control, and back. An empty one says nothing.
function written(schema, value) {
  if (value === undefined || value === null) return "";
  if (choices(schema)) return JSON.stringify(value);
  return isText(schema) ? String(value) : JSON.stringify(value, null, 2);
}
function read(schema, text, name) {
  if (!text.trim()) return null;
  if (isText(schema)) return kinds(schema).some((kind) => kind === "number" || kind === "integer") && !Number.isNaN(Number(text)) ? Number(text) : text;
  try { return JSON.parse(text); } catch (error) { throw Object.assign(new Error(`${name} is no JSON.`), { faults: [{ field: name, message: error.message }] }); }
}

function Edit({ row, onClose, onDone }) {
  const { schema, store } = row;
  const before = fieldsOf(store);
  const whole = isOpen(schema);
  const sayable = Object.fromEntries(Object.entries(schema.properties ?? {}).filter(([name]) => !FILE_ONLY.has(`${row.id}.${name}`)));
  const properties = whole ? { [row.id]: { type: "object", description: `${schema.description} As JSON: a name, and what holds for it.` } } : sayable;
  const first = Object.fromEntries(Object.entries(properties).map(([name, one]) => [name, written(one, whole ? (store ? before : undefined) : before[name])]));
  const [form, put] = useState(first);
  const filed = fieldsOf(row.file);

  const save = async () => {
    const path = `/admin/settings/${row.id}`;
    const changed = Object.keys(properties).filter((name) => form[name] !== first[name]);
    if (!changed.length) { onDone(); return; }
    let patch = Object.fromEntries(changed.map((name) => [name, read(properties[name], form[name], name)]));
    let back = Object.fromEntries(changed.map((name) => [name, before[name] ?? null]));
    if (whole) [patch, back] = [patch[row.id] ?? {}, before];
    const put = whole || !store;
    const clean = put ? Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== null)) : patch;
    await send(put ? "PUT" : "PATCH", path, clean, { revision: store?.revision });
    const undo = async () => { if (!store) await send("DELETE", path); else await send(whole ? "PUT" : "PATCH", path, back); onDone(); };
    toast(`The setting ${row.id} is changed, in every worker.`, { undo });
    onDone();
  };

  return html`<${FormDialog} title="Setting ${row.id}" wide save=${save} onClose=${onClose}>${(fault) => html`
    <p class="muted">${WORDS[row.id]} What is left empty is as usual.${row.file ? " What the file says wins, and is changed there." : ""}</p>
    <div class=${whole ? "form" : "form two"}>${Object.entries(properties).map(([name, one]) => html`<${One} key=${name} name=${name} schema=${one} value=${form[name]} fault=${whole ? undefined : fault(name)}
      filed=${filed[name]} onInput=${(value) => put((now) => ({ ...now, [name]: value }))} />`)}</div>`}<//>`;
}

function One({ name, schema, value, fault, filed, onInput }) {
  const hint = [schema.description, filed !== undefined && filed !== null && `The file says ${typeof filed === "object" ? JSON.stringify(filed) : word(filed)}.`].filter(Boolean).join(" ");
  const usual = word(typeof schema.default === "object" ? "" : schema.default);
  const more = { label: name, hint, fault, value, onInput };
  const listed = choices(schema);
  if (listed) return html`<${Select} ...${more} options=${[["", usual ? `as usual: ${usual}` : "as usual"], ...listed.map((one) => [JSON.stringify(one), word(one)])]} />`;
  if (isText(schema)) return html`<${Text} ...${more} placeholder=${usual} autocomplete="off" />`;
  return html`<${Area} ...${more} class="mono" placeholder="JSON" spellcheck=${false} />`;
}
