// The database's objects as a file, and a file's objects into the database: looked at before anything is changed.
import { html, useRef, useState } from "../lib.js";
import { query, raw, send } from "../api.js";
import { Action, Area, Badge, Card, Choice, Confirm, count, Empty, Failure, Field, Select, toast } from "../ui.js";
import { Differences } from "./config-diff.js";

const MOST = 4 * 1024 * 1024;
const SECRETS = [["references", "References"], ["omit", "Left out"], ["encrypted", "Encrypted"]];
const SECRETS_WORDS = {
  references: "In the place of each secret is a reference, ${HEADRACE_…}, to be filled in.",
  omit: "No secret is in it; where they are in the database already, they stay when it is imported.",
  encrypted: "Secrets are sealed, and opened by an installation with the same master key alone. The export is noted in the audit.",
};
const MODES = [["merge", "Add and change"], ["replace", "Replace everything"]];

export const Transfer = () => html`<div class="stack"><${Export} /><${Import} /></div>`;

function Export() {
  const [format, setFormat] = useState("yaml");
  const [secrets, setSecrets] = useState("references");
  const download = async () => {
    const response = await raw(`/admin/config/export${query({ format, secrets })}`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = `headrace-export.${format}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  };
  return html`<${Card} title="Export"><div class="stack">
    <p class="muted">What the database has, in the words of the configuration file: to keep, to compare, or to take into another installation. What the file has is not in it.</p>
    <div class="filters">
      <${Select} label="Format" value=${format} options=${[["yaml", "YAML"], ["json", "JSON"]]} onInput=${setFormat} />
      <${Select} label="Secrets" value=${secrets} options=${SECRETS} onInput=${setSecrets} />
      <${Action} class="primary" run=${download} done="Exported.">Download<//>
    </div><p class="muted small-print">${SECRETS_WORDS[secrets]}</p></div><//>`;
}

// YAML may begin with a brace, too; and of JSON that is none, YAML says the line.
function kindOf(text) {
  try { JSON.parse(text); return "application/json"; } catch { return "application/yaml"; }
}

function Import() {
  const [text, setText] = useState("");
  const [mode, setMode] = useState("merge");
  const [report, show] = useState(null);
  const [error, fail] = useState(null);
  const [asked, ask] = useState(false);
  // Of what is asked for: an answer about another text or mode is not shown, as what is imported has to be what was looked at.
  const asking = useRef(0);
  const forget = () => { asking.current += 1; show(null); fail(null); };
  const put = (value) => { setText(value); forget(); };
  const take = async (file) => {
    if (!file) return;
    if (file.size > MOST) { fail({ message: `${file.name} has more than 4 MiB, which is the most that is taken at once.` }); return; }
    put(await file.text());
  };
  const go = (dry_run) => send("POST", "/admin/config/import", text, { type: kindOf(text), parameters: { mode, dry_run } });
  const look = async () => {
    forget();
    const mine = asking.current;
    try {
      const seen = await go(true);
      if (mine === asking.current) show(seen);
    } catch (failure) { if (mine === asking.current) fail(failure); }
  };
  const doIt = async () => {
    const done = await go(false);
    setText("");
    show(done);
    toast(`Imported: ${done.create} new, ${done.update} changed, ${done.delete} deleted.`);
  };
  const changes = report && report.create + report.update + report.delete;
  return html`<${Card} title="Import"><div class="stack">
    <p class="muted">A document in the words of the configuration file, YAML or JSON. First you are shown what it would change; all of it is done then, or nothing.</p>
    <${Field} label="Choose a file">${(attributes) => html`<input ...${attributes} type="file" accept=".yaml,.yml,.json,application/json,application/yaml" onChange=${(event) => take(event.target.files[0])} />`}<//>
    <${Area} label="or paste it" class="mono tall" value=${text} onInput=${put} spellcheck=${false} placeholder=${"providers:\n  openai: {preset: openai, credentials: [sk-…]}\nmodels:\n  gpt-4o: {deployments: [{provider: openai}]}"} />
    <div class="row"><${Choice} label="What becomes of objects that it does not name" value=${mode} options=${MODES} onInput=${(value) => { setMode(value); forget(); }} />
      <span class="muted">${mode === "merge" ? "What it does not name stays." : "What it does not name is deleted from the database."}</span></div>
    <div class="row"><${Action} class="primary" disabled=${!text.trim()} run=${look}>Show what it would change<//></div>
    <${Failure} error=${error} />
    ${report && html`<${Report} report=${report} />`}
    ${report?.dry_run && report.ok && changes > 0 && html`<div class="row"><button class=${report.delete ? "primary danger" : "primary"} onClick=${() => ask(true)}>Import: ${count(report.create)} new, ${count(report.update)} changed, ${count(report.delete)} deleted</button></div>`}
    ${asked && html`<${Confirm} title="Import this?" action="Import" word=${report.delete ? "delete" : undefined} run=${doIt} onClose=${() => ask(false)}>
      <p>${count(changes)} objects of the database are made, changed or deleted, in one transaction, and served by every worker within a second.${report.delete ? ` ${count(report.delete)} of them are deleted.` : ""}</p><//>`}
  </div><//>`;
}

function Report({ report }) {
  if (!report.ok) return html`<${Failure} error=${{ message: `It cannot be imported: ${report.problems.length} ${report.problems.length === 1 ? "problem" : "problems"}.`, faults: report.problems }} />`;
  const changed = report.edits.filter((one) => one.action !== "unchanged");
  return html`<section class="stack" aria-label="What it changes">
    <div class="row"><h3>${report.dry_run ? "It would change" : "Done"}</h3>
      <${Badge} tone="good">${count(report.create)} new<//><${Badge} tone="warn">${count(report.update)} changed<//><${Badge} tone="bad">${count(report.delete)} deleted<//><span class="muted">${count(report.unchanged)} stay as they are</span></div>
    ${report.warnings.map((warning) => html`<p class="notice" key=${warning}>${warning}</p>`)}
    ${changed.length ? html`<${Differences} edits=${changed} />` : html`<${Empty} title="Nothing to change">The database is as this document says already.<//>`}
  </section>`;
}
