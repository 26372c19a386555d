// Every object by kind: from which line of the file or which revision of the database it is, and its fields.
import { html, useState } from "../lib.js";
import { useQuery } from "../router.js";
import { useLoad } from "../use.js";
import { Badge, Card, Copy, Dialog, Empty, Facts, Loaded, Pager, Select, Table, Time } from "../ui.js";
import { Typed } from "./typed.js";

const KINDS = [
  ["providers", "Providers", "provider"], ["credentials", "Credentials", "credential"], ["models", "Models", "model"],
  ["deployments", "Deployments", "deployment"], ["keys", "Virtual keys", "key"], ["settings", "Settings", "setting"], ["sections", "Sections of the file", "section"],
];
const UNNAMED = { credentials: "provider", deployments: "public_model" };
// What is about an object and not of it.
const ABOUT = new Set(["id", "kind", "name", "source", "read_only", "revision", "created", "updated", "live", "usage", "set", "warnings"]);
const PAGE = 50;

export function Objects({ session }) {
  const [query, change] = useQuery();
  const kind = KINDS.some(([name]) => name === query.kind) ? query.kind : "providers";
  const file = useLoad("/admin/config/file");
  const kinds = KINDS.filter(([name]) => name !== "keys" || session.may("keys"));
  return html`<${Card} title=${KINDS.find(([name]) => name === kind)[1]}>
    <div class="filters">
      <${Select} label="Kind" value=${kind} options=${kinds} onInput=${(value) => change({ kind: value, q: "", after: "" })} />
      ${kind !== "sections" && html`
        ${!UNNAMED[kind] && html`<${Typed} key=${kind} label="Search" name="q" query=${query} set=${change} type="search" placeholder="part of the name" />`}
        <${Select} label="From" value=${query.source ?? ""} options=${[["", "Anywhere"], ["file", "The file"], ["store", "The database"]]} onInput=${(source) => change({ source, after: "" })} />`}
    </div>
    <${Loaded} from=${file}>${(where) => html`
      ${where.path && html`<p class="muted">The file is <code>${where.path}</code>.</p>`}
      ${kind === "sections" ? html`<${Sections} lines=${where.lines.section} path=${where.path} />` : html`<${List} kind=${kind} where=${where} />`}`}<//><//>`;
}

const named = (one) => one.name ?? `${one.provider ?? one.public_model} · ${one.last4 ? `…${one.last4}` : one.model ?? one.provider ?? one.id}`;

export function Origin({ one, lines }) {
  if (one.source !== "file") return html`<${Badge}>database, revision ${one.revision}<//>`;
  const line = lines?.[one.kind]?.[one.id];
  return html`<${Badge} title="The configuration file has it: change it there, and reload it.">${line ? `file, line ${line}` : "file"} · read-only<//>`;
}

function List({ kind, where }) {
  const [query, change] = useQuery();
  const parameters = { limit: PAGE, q: UNNAMED[kind] ? "" : query.q, source: query.source, after: query.after };
  const list = useLoad(`/admin/${kind}`, parameters);
  const [shown, show] = useState(null);
  const columns = [
    { name: "Name", wide: true, of: (one) => html`<button class="plain small" onClick=${() => show(one)}>${named(one)}</button>` },
    { name: "From", of: (one) => html`<${Origin} one=${one} lines=${where.lines} />` },
    { name: "Enabled", of: (one) => (one.enabled === undefined || one.enabled === null ? "" : one.enabled ? "yes" : html`<${Badge} tone="warn">no<//>`) },
    { name: "Changed", of: (one) => (one.updated ? html`<${Time} at=${one.updated} />` : "") },
  ];
  return html`<${Loaded} from=${list}>${({ data, next }) => html`
    ${data.length
      ? html`<${Table} label="Objects" columns=${columns} rows=${data} keyOf=${(one) => `${one.source}${one.id}`} onPick=${show} />`
      : html`<${Nothing} kind=${kind} filtered=${Boolean(query.q || query.source || query.after)} />`}
    <${Pager} after=${query.after} next=${next} go=${(after) => change({ after })} />`}<//>
    ${shown && html`<${One} one=${shown} lines=${where.lines} onClose=${() => show(null)} />`}`;
}

function Nothing({ kind, filtered }) {
  if (filtered) return html`<${Empty} title="None like that">Search for another part of a name, or look everywhere.<//>`;
  return html`<${Empty} title="None yet">Neither the file nor the database has any ${kind}. Put them into the file and reload it, make them on their page, or take them in from a document under “Export and import”.<//>`;
}

function Sections({ lines, path }) {
  const rows = Object.entries(lines ?? {}).map(([name, line]) => ({ id: name, line }));
  if (!rows.length) {
    return html`<${Empty} title="Not known">${path ? "The lines of this file cannot be told: it is another program’s, very long, or was changed so that it cannot be read." : "This was not started from a file."}<//>`;
  }
  return html`<${Table} label="Sections of the file" rows=${rows} columns=${[{ name: "Section", of: (one) => html`<code>${one.id}</code>` }, { name: "Line", num: true, of: (one) => one.line }]} />`;
}

function One({ one, lines, onClose }) {
  const fields = Object.entries(one).filter(([name, value]) => !ABOUT.has(name) && value !== null && !(typeof value === "object" && !Object.keys(value).length));
  const text = JSON.stringify(Object.fromEntries(fields), null, 2);
  return html`<${Dialog} title=${named(one)} wide onClose=${onClose}>
    <div class="row"><${Origin} one=${one} lines=${lines} />${one.updated && html`<span class="muted">changed <${Time} at=${one.updated} /></span>`}</div>
    <${Facts} items=${fields.map(([name, value]) => [name, html`<code class="wrap">${typeof value === "object" ? JSON.stringify(value, null, 1) : String(value)}</code>`])} />
    ${one.warnings?.map((warning) => html`<p class="notice" key=${warning}>${warning}</p>`)}
    <footer><${Copy} text=${text} label="Copy as JSON" /></footer><//>`;
}
