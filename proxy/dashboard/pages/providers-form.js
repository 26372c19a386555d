// Add a provider from a preset, or change one.
import { html, useEffect, useMemo, useRef, useState } from "../lib.js";
import { send } from "../api.js";
import { useLoad } from "../use.js";
import { Area, Badge, Check, Dialog, Field, FormDialog, Loaded, Select, Text, toast } from "../ui.js";
import { different, merged, More, ObjectForm, others, patch, secrets, useOpened } from "./fields.js";

const OWN = { name: "", note: "Any server that speaks one of the formats known here: vLLM, Ollama, LM Studio, another gateway, a service of your own.", base_url: "", dialects: ["openai.chat"], placeholders: [], needs_credential: true };
const host = (url) => /^[a-z]+:\/\/([^/?#]+)/i.exec(url || "")?.[1] || "";

export function NewProvider({ onClose, onMade }) {
  const presets = useLoad("/admin/presets");
  const [preset, choose] = useState(null);
  if (!preset) {
    return html`<${Dialog} title="Add a provider" onClose=${onClose} wide><${Loaded} from=${presets}>${({ data }) => html`<${Choose} presets=${data} choose=${choose} />`}<//><//>`;
  }
  return html`<${Details} preset=${preset} dialects=${presets.data.dialects} back=${() => choose(null)} onClose=${onClose} onMade=${onMade} />`;
}

// A few words for a list of dialects: openai.chat, anthropic.messages and 3 more.
const spoken = (dialects) => [...dialects.slice(0, 3), ...(dialects.length > 3 ? [`${dialects.length - 3} more`] : [])].join(" · ");

// What is chosen, as it is written: a list, or, where the preset has one of them at a path of its own, paths. A list would have
// all at their usual paths.
const listed = (chosen, preset, all) => (chosen.some((name) => preset?.paths?.[name] !== undefined) ? Object.fromEntries(chosen.map((name) => [name, preset.paths[name] ?? all[name]])) : chosen);

// Which vendor: the first step, by name, address or what is known of it.
function Choose({ presets, choose }) {
  const [text, type] = useState("");
  const field = useRef(null);
  useEffect(() => field.current.querySelector("input").focus(), []);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = presets.filter((one) => { const all = `${one.name} ${one.base_url || ""} ${one.note || ""} ${one.dialects.join(" ")}`.toLowerCase(); return words.every((word) => all.includes(word)); });
  return html`
    <div ref=${field}><${Text} label="Vendor" type="search" value=${text} onInput=${type} placeholder="openai, claude, azure, ollama …" autocomplete="off" hint=${`${found.length} of ${presets.length} presets`} /></div>
    <ul class="choices" aria-label="Presets">
      ${found.map((one) => html`<li key=${one.name}><button type="button" onClick=${() => choose(one)}><strong>${one.name}</strong> <span class="muted">${host(one.base_url) || one.base_url}</span><span class="muted small">${spoken(one.dialects)}</span></button></li>`)}
      <li><button type="button" onClick=${() => choose(OWN)}><strong>Another address</strong> <span class="muted">no preset</span><span class="muted small">${OWN.note}</span></button></li>
    </ul>`;
}

function Details({ preset, dialects, back, onClose, onMade }) {
  const [form, set] = useState({ name: preset.name, base_url: "", credentials: "", dialects: preset.dialects, allow_private: Boolean(preset.allow_private), note: "" });
  const [holes, fill] = useState({});
  const put = (name) => (value) => set({ ...form, [name]: value });
  const address = preset.placeholders.reduce((url, word) => url.replaceAll(word, holes[word]?.trim() || word), preset.base_url || "");
  const save = async () => {
    const filled = preset.placeholders.some((word) => holes[word]?.trim());
    const url = form.base_url.trim() || (filled ? address : "");
    const made = await send("POST", "/admin/providers", {
      name: form.name.trim(),
      ...(preset.name ? { preset: preset.name } : {}),
      ...(url || !preset.name ? { base_url: url } : {}),
      ...(String(form.dialects) !== String(preset.dialects) || !preset.name ? { dialects: listed(form.dialects, preset, dialects) } : {}),
      ...(form.allow_private !== Boolean(preset.allow_private) ? { allow_private: form.allow_private } : {}),
      ...(form.note ? { note: form.note } : {}),
      credentials: secrets(form.credentials),
    });
    warn(made);
    onMade(made);
  };
  const keyFault = (fault) => fault("credentials") || fault("credentials[0]") || fault("credentials[0].key");
  return html`<${FormDialog} title=${preset.name ? `Add a provider: ${preset.name}` : "Add a provider"} action="Add provider" save=${save} onClose=${onClose} wide>${(fault) => html`
    <div class="row"><button type="button" class="small" onClick=${back}>← Another vendor</button>${preset.as_of && html`<span class="muted small">checked ${preset.as_of}${preset.unconfirmed && `, not confirmed: ${preset.unconfirmed}`}</span>`}</div>
    ${preset.note && html`<p class="muted">${preset.note}</p>`}
    <div class="form two">
      <${Text} label="Name" hint="In logs, metrics and deployments." value=${form.name} onInput=${put("name")} fault=${fault("name")} required autocomplete="off" />
      ${preset.placeholders.map((word) => html`<${Text} key=${word} label=${word} hint=${`Its part of ${preset.base_url}`} value=${holes[word]} onInput=${(value) => fill({ ...holes, [word]: value })} autocomplete="off" />`)}
    </div>
    <${Text} label="Address" type="url" class="mono" value=${form.base_url} onInput=${put("base_url")} fault=${fault("base_url")} placeholder=${address || "https://llm.example.com/v1"} hint=${preset.name ? "Empty: as the preset has it." : "Where it is; it may or may not end in /v1."} autocomplete="off" />
    <${Keys} value=${form.credentials} onInput=${put("credentials")} fault=${keyFault(fault)} needed=${preset.needs_credential} />
    <details open=${!preset.name || undefined}><summary>What it speaks, and more</summary><div class="stack inset">
      <${Dialects} all=${dialects} value=${form.dialects} onInput=${put("dialects")} fault=${fault("dialects")} />
      <${Check} label="Its address may be private or local" checked=${form.allow_private} onInput=${put("allow_private")} />
      <${Text} label="Note" hint="For people." value=${form.note} onInput=${put("note")} fault=${fault("note")} />
    </div></details>`}<//>`;
}

export const Keys = ({ value, onInput, fault, needed = true }) => html`
  <${Field} label="Credentials" fault=${fault} hint=${`${needed ? "" : "It needs none. "}One a line; several share the load and stand in for each other. They are sealed, and never shown again.`}>${(attributes) => html`<textarea ...${attributes} class="mono concealed" rows="2" value=${value} onInput=${(event) => onInput(event.target.value)} autocomplete="off" spellcheck="false"></textarea>`}<//>`;

function Dialects({ all, value, onInput, fault }) {
  const flip = (name) => (on) => onInput(Object.keys(all).filter((one) => (one === name ? on : value.includes(one))));
  return html`<fieldset class="field"><legend>Dialects</legend><div class="checks">${Object.entries(all).map(([name, path]) => html`<${Check} key=${name} label=${html`<span class="mono" title=${path}>${name}</span>`} checked=${value.includes(name)} onInput=${flip(name)} />`)}</div>
    ${fault && html`<span class="fault">${fault}</span>`}</fieldset>`;
}

export function warn(made) {
  for (const text of made?.warnings || []) toast(text, { tone: "warn" });
}

const KNOWN = ["name", "base_url", "note", "allow_private", "key_strategy", "max_connections", "enabled", "preset", "as_of", "sources", "unconfirmed", "dialects"];
const STRATEGIES = [["", "as usual: the least used"], ["least_used", "the least used, by weight"], ["round_robin", "in turn"], ["random", "at random, by weight"], ["failover", "the first, as long as it may be used"]];

export function EditProvider({ one, reload, onClose, onSaved }) {
  const presets = useLoad("/admin/presets");
  return html`<${Loaded} from=${presets}>${(known) => html`<${Edit} one=${one} known=${known} reload=${reload} onClose=${onClose} onSaved=${onSaved} />`}<//>`;
}

function Edit({ one: now, known, reload, onClose, onSaved }) {
  const one = useOpened(now);
  const preset = known.data.find((each) => each.name === one.preset);
  const mapped = one.dialects && !Array.isArray(one.dialects);
  const names = KNOWN.filter((name) => name !== "dialects" || !mapped);
  const before = useMemo(() => others(one, names), [one]);
  const [form, set] = useState({ name: one.name, base_url: one.base_url || "", note: one.note || "", allow_private: Boolean(one.allow_private), key_strategy: one.key_strategy || "", max_connections: one.max_connections ?? "" });
  const spoke = one.dialects || preset?.dialects || (one.conversation ? [] : known.usual);
  const [dialects, choose] = useState(spoke);
  const [more, type] = useState(Object.keys(before).length ? JSON.stringify(before, null, 2) : "");
  const put = (name) => (value) => set({ ...form, [name]: value });
  const moved = host(form.base_url || preset?.base_url || "") !== host(one.base_url || preset?.base_url || "");
  const save = () => patch("/admin/providers", one, {
    ...different({ ...one, key_strategy: one.key_strategy || null }, { ...form, name: form.name.trim(), base_url: form.base_url.trim() || null, note: form.note || null, key_strategy: form.key_strategy || null, max_connections: form.max_connections === "" ? null : Number(form.max_connections) }),
    ...(!mapped && String(dialects) !== String(spoke) ? { dialects: listed(dialects, one.dialects ? null : preset, known.dialects) } : {}),
    ...merged(before, more),
  });
  return html`<${ObjectForm} title=${`Change ${one.name}`} save=${save} saved=${(made) => { warn(made); onSaved(made); }} reload=${reload} onClose=${onClose} wide>${(fault) => html`
    <div class="form two">
      <${Text} label="Name" value=${form.name} onInput=${put("name")} fault=${fault("name")} required autocomplete="off" />
      <${Text} label="Address" type="url" class="mono" value=${form.base_url} onInput=${put("base_url")} fault=${fault("base_url")} placeholder=${preset?.base_url || ""} hint=${preset ? `Empty: as the preset ${preset.name} has it.` : ""} autocomplete="off" />
    </div>
    ${moved && html`<div class="notice">It is another host, so its credentials are taken away: give them again after saving. Otherwise whoever may change an address could have the keys sent there.</div>`}
    <div class="form two">
      <${Select} label="Which credential is next" value=${form.key_strategy} options=${STRATEGIES} onInput=${put("key_strategy")} fault=${fault("key_strategy")} />
      <${Text} label="Connections at once" type="number" min="0" value=${form.max_connections} onInput=${put("max_connections")} fault=${fault("max_connections")} hint="Of each worker; empty or 0: no limit." />
    </div>
    <${Text} label="Note" value=${form.note} onInput=${put("note")} fault=${fault("note")} />
    <${Check} label="Its address may be private or local" checked=${form.allow_private} onInput=${put("allow_private")} />
    ${mapped ? null : html`<${Dialects} all=${known.dialects} value=${dialects} onInput=${choose} fault=${fault("dialects")} />`}
    <${More} kind="provider" value=${more} onInput=${type} fault=${fault} />`}<//>`;
}
