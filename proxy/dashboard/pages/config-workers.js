// Which processes serve, and by which revision of the configuration.
import { html } from "../lib.js";
import { useLoad } from "../use.js";
import { Badge, Card, Empty, Failure, Loaded, Table, Time } from "../ui.js";

const SILENT = 30;

export function Workers() {
  const workers = useLoad("/admin/workers", {}, { every: 5 });
  if (workers.error?.code === "no_store") {
    return html`<${Empty} title="There is no database">Workers tell of themselves in the database. Set <code>store.url</code> in the configuration and start anew.<//>`;
  }
  return html`<${Card} title="Workers"><${Loaded} from=${workers}>${({ data }) => html`<${List} all=${data} />`}<//><//>`;
}

function List({ all }) {
  const newest = Math.max(...all.map((one) => one.revision));
  const now = Date.now() / 1000;
  const state = (one) => {
    if (one.problem) return html`<${Badge} tone="bad">has a problem<//>`;
    if (now - one.seen > SILENT) return html`<${Badge} tone="warn">silent<//>`;
    return one.revision < newest ? html`<${Badge} tone="warn">behind by ${newest - one.revision}<//>` : html`<${Badge} tone="good">up to date<//>`;
  };
  const columns = [
    { name: "Host", of: (one) => one.host }, { name: "Worker", of: (one) => one.name }, { name: "Process", num: true, of: (one) => one.pid },
    { name: "State", of: state }, { name: "Revision", num: true, of: (one) => one.revision },
    { name: "File", of: (one) => (one.config ? `read ${one.config}×` : "") }, { name: "Heard", of: (one) => html`<${Time} at=${one.seen} />` },
  ];
  return html`<div class="stack"><${Table} label="Workers" columns=${columns} rows=${all} keyOf=${(one) => `${one.host}/${one.pid}/${one.name}`} />
    ${all.filter((one) => one.problem).map((one) => html`<${Failure} key=${one.pid} error=${{ message: `${one.host}, worker ${one.name}: ${one.problem}` }} />`)}</div>`;
}
