// Who changed what, and when. Rows are never changed or deleted by anybody.
import { html, useState } from "../lib.js";
import { useQuery } from "../router.js";
import { useLoad } from "../use.js";
import { Badge, Card, Copy, Dialog, Empty, Facts, Loaded, Page, Pager, Select, Table, Text, Time } from "../ui.js";

const KINDS = ["", "provider", "credential", "model", "deployment", "key", "setting", "user", "token", "session", "signal", "request"];
const SPANS = [["", "all time"], ["3600", "the last hour"], ["86400", "the last day"], ["604800", "the last week"]];
const TONES = { create: "good", delete: "bad" };

export default function Audit() {
  const [query, set] = useQuery();
  const [open, show] = useState(null);
  const put = (name) => (value) => set({ [name]: value, after: "" }, { replace: true });
  const { principal, kind, name, request, span, after } = query;
  const asked = { principal, kind, name, request, after, limit: 50 };
  // How long ago is worked out when it is asked, so that the page stays the same while one looks.
  const from = useLoad("/admin/audit", () => ({ ...asked, since: span && Math.floor(Date.now() / 1000) - Number(span) }), { key: JSON.stringify([asked, span]) });
  const filtered = principal || kind || name || request || span || after;
  return html`<${Page} title="Audit" lead="Every change by the admin API, every sign-in, and who read what was said in a request.">
    <${Card}>
      <div class="filters">
        <${Text} label="Who" value=${query.principal} onInput=${put("principal")} type="search" placeholder="user:anna" />
        <${Select} label="Kind" value=${query.kind || ""} options=${KINDS.map((kind) => [kind, kind || "all"])} onInput=${put("kind")} />
        <${Text} label="Name" value=${query.name} onInput=${put("name")} type="search" />
        <${Select} label="When" value=${query.span || ""} options=${SPANS} onInput=${put("span")} />
      </div>
      <${Loaded} from=${from} lines=${6}>${({ data, next }) => (data.length === 0
        ? html`<${Empty} title=${filtered ? "Nothing fits" : "Nothing was changed yet"}>${filtered ? "Change the filters above." : "As soon as somebody adds a provider, makes a key or signs in, it is written here."}<//>`
        : html`<${Table} label="Changes" rows=${data} onPick=${show} selected=${open?.id} columns=${[
            { name: "When", of: (row) => html`<${Time} at=${row.at} />` },
            { name: "Who", of: (row) => row.principal },
            { name: "What", of: (row) => html`<${Badge} tone=${TONES[row.action.split(".").pop()] || ""}>${row.action}<//>` },
            { name: "Of", wide: true, of: (row) => row.name || row.kind },
            { name: "Fields", wide: true, of: (row) => html`<span class="muted mono">${changes(row).map(([name]) => name).slice(0, 6).join(", ")}</span>` },
            { name: "From", of: (row) => html`<span class="mono muted">${row.peer}</span>` },
          ]} /><${Pager} after=${query.after} next=${next} go=${(after) => set({ after })} />`)}<//>
    <//>
    ${open && html`<${Detail} it=${open} onClose=${() => show(null)} />`}
  <//>`;
}

// [[field, before, after], …] of what differs.
export function changes({ before, after }) {
  const names = new Set([...Object.keys(before || {}), ...Object.keys(after || {})]);
  return [...names].map((name) => [name, before?.[name], after?.[name]]).filter(([, was, is]) => JSON.stringify(was) !== JSON.stringify(is));
}

const said = (value) => (value === undefined ? "–" : typeof value === "string" ? value : JSON.stringify(value));

function Detail({ it, onClose }) {
  const rows = changes(it);
  return html`<${Dialog} title=${`${it.action} · ${it.name || it.kind}`} onClose=${onClose} wide>
    <${Facts} items=${[
      ["When", html`<${Time} at=${it.at} relative=${false} />`], ["Who", it.principal], ["From", html`<span class="mono">${it.peer}</span>`],
      ["Request", html`<span class="row"><code>${it.request}</code><${Copy} text=${it.request} /></span>`], it.revision && ["Revision", it.revision],
    ]} />
    ${rows.length > 0
      ? html`<${Table} label="Fields" rows=${rows} keyOf=${([name]) => name} columns=${[
          { name: "Field", of: ([name]) => html`<code>${name}</code>` },
          { name: "Before", wide: true, of: ([, was]) => html`<span class="mono wrap">${said(was)}</span>` },
          { name: "After", wide: true, of: ([, , is]) => html`<span class="mono wrap">${said(is)}</span>` }]} />`
      : html`<p class="muted">No field changed.</p>`}
  <//>`;
}
