// Sections of the configuration that can be set in the database too. What the file says of one wins, field by field.
import { html, useState } from "../lib.js";
import { get, send } from "../api.js";
import { useLoad } from "../use.js";
import { Action, Area, Badge, Confirm, explain, FormDialog, Loaded, Select, Table, Text, Time, toast } from "../ui.js";
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
const ABOUT = new Set(["id", "kind", "name", "source", "read_only", "revision", "created", "updated", "set", "warnings"]);
const fieldsOf = (one) => Object.fromEntries(Object.entries(one ?? {}).filter(([name]) => !ABOUT.has(name)));

// Schemas of all sections: large, so read once, when the first is edited.
let schemas = null;
async function fieldsFor(name) {
  schemas ??= get("/openapi.json").then((document) => document.components.schemas);
  try {
    const all = await schemas;
    return flat(all, all[name[0].toUpperCase() + name.slice(1)], "").filter((one) => !FILE_ONLY.has(`${name}.${one.path}`));
  } catch (error) { schemas = null; throw error; }
}

// The fields of a section, those of sections in it too, as [{path: "timeouts.ttft", schema}]; none where its names are anybody's.
function flat(all, schema, above) {
  return Object.entries(schema.properties ?? {}).flatMap(([name, one]) => {
    const below = one.$ref && all[one.$ref.split("/").pop()];
    return below && Object.keys(below.properties ?? {}).length ? flat(all, below, `${above}${name}.`) : [{ path: above + name, schema: one }];
  });
}
const within = (value, path) => path.split(".").reduce((found, name) => found?.[name], value);
// {"timeouts.ttft": 5} as {timeouts: {ttft: 5}}
function nested(pairs) {
  const made = {};
  for (const [path, value] of pairs) {
    const names = path.split(".");
    const last = names.pop();
    let place = made;
    for (const name of names) place = place[name] ??= {};
    place[last] = value;
  }
  return made;
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
    const open = async (row) => edit({ ...row, fields: await fieldsFor(row.id) });
    const pick = (row) => open(row).catch((error) => toast(explain(error), { tone: "bad" }));
    const columns = [
      { name: "Setting", wide: true, of: (row) => html`<div><strong>${row.id}</strong></div><span class="muted">${WORDS[row.id]}</span>` },
      { name: "Said by", of: (row) => html`<div class="row">${row.file && html`<${Origin} one=${row.file} lines=${file.data?.lines} />`}${row.store && html`<${Origin} one=${row.store} />`}${!row.file && !row.store && html`<${Badge}>nobody: usual values<//>`}</div>` },
      { name: "Changed", of: (row) => (row.store ? html`<${Time} at=${row.store.updated} />` : "") },
      { name: "", of: (row) => html`<div class="row end"><${Action} class="small" aria-label="Edit ${row.id}" run=${() => open(row)}>Edit<//>${row.store && html`<button class="small danger" aria-label="Take ${row.id} out of the database" onClick=${() => drop(row)}>Take out</button>`}</div>` },
    ];
    return html`<div class="card"><${Table} label="Settings" columns=${columns} rows=${rows} onPick=${pick} /></div>
      ${edited && html`<${Edit} row=${edited} onClose=${() => edit(null)} onDone=${() => { edit(null); list.reload(); }} />`}
      ${dropped && html`<${Confirm} title="Take ${dropped.id} out of the database?" action="Take out" onClose=${() => drop(null)} run=${async () => { await send("DELETE", `/admin/settings/${dropped.id}`, undefined, { revision: dropped.store.revision }); list.reload(); }}>
        What the file says of it holds then, and usual values else.<//>`}`;
  }}<//>`;
}

// --- one setting as a form ---

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
  const { store } = row;
  const before = fieldsOf(store);
  // One whose names are anybody's (teams, prices) is one text.
  const whole = !row.fields.length;
  const fields = whole ? [{ path: row.id, schema: { type: "object", description: "As JSON: each name, and what holds for it." } }] : row.fields;
  const first = Object.fromEntries(fields.map(({ path, schema }) => [path, written(schema, whole ? store && before : within(before, path))]));
  const [form, put] = useState(first);
  const filed = fieldsOf(row.file);

  const save = async () => {
    const path = `/admin/settings/${row.id}`;
    const changed = fields.filter((one) => form[one.path] !== first[one.path]);
    if (!changed.length) { onDone(); return; }
    const values = changed.map((one) => [one.path, read(one.schema, form[one.path], one.path)]);
    const replaced = whole || !store;
    const content = whole ? values[0][1] ?? {} : nested(replaced ? values.filter(([, value]) => value !== null) : values);
    await send(replaced ? "PUT" : "PATCH", path, content, { revision: store?.revision });
    const undo = async () => {
      if (!store) await send("DELETE", path);
      else await send(whole ? "PUT" : "PATCH", path, whole ? before : nested(changed.map((one) => [one.path, within(before, one.path) ?? null])));
      onDone();
    };
    toast(`The setting ${row.id} is changed, in every worker.`, { undo });
    onDone();
  };

  return html`<${FormDialog} title="Setting ${row.id}" wide save=${save} onClose=${onClose}>${(fault) => html`
    <p class="muted">${WORDS[row.id]} What is left empty is as usual.${row.file ? " What the file says wins, and is changed there." : ""}</p>
    <div class=${whole ? "form" : "form two"}>${fields.map(({ path, schema }) => html`<${One} key=${path} name=${path} schema=${schema} value=${form[path]} fault=${whole ? undefined : fault(path)}
      filed=${whole ? undefined : within(filed, path)} onInput=${(value) => put((now) => ({ ...now, [path]: value }))} />`)}</div>`}<//>`;
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
