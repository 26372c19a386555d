// Add a model with its first deployment, or change what a model is; add or change a deployment.
import { html, useMemo, useState } from "../lib.js";
import { send } from "../api.js";
import { useLoad } from "../use.js";
import { FormDialog, Select, Text, toast } from "../ui.js";
import { different, lines, merged, More, ObjectForm, others, patch, useOpened, whole } from "./fields.js";
import { warn } from "./providers-form.js";

export const STRATEGIES = [
  ["", "as the defaults say"],
  ["p2c", "p2c: the better of two"], ["round_robin", "round_robin: in turn"], ["weighted_round_robin", "weighted_round_robin: in turn, by weight"],
  ["random", "random"], ["weighted_random", "weighted_random: at random, by weight"], ["least_used", "least_used: who was chosen least, by weight"],
  ["least_inflight", "least_inflight: who has the least to do"], ["ttft", "ttft: whose first content comes soonest"], ["performance", "performance: quick and reliable"],
  ["cost", "cost: the cheapest"], ["pareto", "pareto: neither slower nor dearer than another"], ["sticky", "sticky: the same for the same user"], ["prefix", "prefix: the same for the same beginning"],
];
const join = (list) => (list || []).join(", ");

function useProviders() {
  return (useLoad("/admin/providers", { limit: 500 }).data?.data || []).map((one) => one.name);
}

const ProviderField = ({ value, onInput, fault, names }) => html`<${Select} label="Provider" value=${value} options=${[["", "choose one"], ...names.map((name) => [name, name])]} onInput=${onInput} fault=${fault} required />`;

export function NewModel({ provider = "", onClose, onMade }) {
  const names = useProviders();
  const [form, set] = useState({ name: "", provider, model: "", aliases: "", strategy: "" });
  const put = (name) => (value) => set({ ...form, [name]: value });
  const save = async () => {
    const made = await send("POST", "/admin/models", {
      name: form.name.trim(), aliases: lines(form.aliases), ...(form.strategy ? { strategy: form.strategy } : {}),
      deployments: form.provider ? [{ provider: form.provider, ...(form.model.trim() ? { model: form.model.trim() } : {}) }] : [],
    });
    warn(made);
    onMade(made);
  };
  return html`<${FormDialog} title="Add a model" action="Add model" save=${save} onClose=${onClose}>${(fault) => html`
    <${Text} label="Name" hint="What clients ask for: gpt-4o-mini, team/fast; with * at its end, all that begin so." value=${form.name} onInput=${put("name")} fault=${fault("name")} class="mono" required autocomplete="off" />
    <div class="form two">
      <${ProviderField} names=${names} value=${form.provider} onInput=${put("provider")} fault=${fault("deployments[0].provider")} />
      <${Text} label="Its name there" hint="Empty: the same." value=${form.model} onInput=${put("model")} fault=${fault("deployments[0].model")} class="mono" autocomplete="off" />
    </div>
    <details><summary>More</summary><div class="stack inset">
      <${Text} label="Further names" hint="Aliases, with commas between them." value=${form.aliases} onInput=${put("aliases")} fault=${fault("aliases") || fault("aliases[0]")} class="mono" />
      <${Select} label="Strategy" value=${form.strategy} options=${STRATEGIES} onInput=${put("strategy")} fault=${fault("strategy")} />
    </div></details>`}<//>`;
}

const LISTS = ["aliases", "fallbacks", "fallbacks_context", "fallbacks_content"];
const KNOWN = ["name", "strategy", "description", ...LISTS];

export function EditModel({ one: now, reload, onClose, onSaved }) {
  const one = useOpened(now);
  const before = useMemo(() => others(one, KNOWN), [one]);
  const [form, set] = useState({ name: one.name, strategy: one.strategy || "", description: one.description || "", ...Object.fromEntries(LISTS.map((name) => [name, join(one[name])])) });
  const [more, type] = useState(Object.keys(before).length ? JSON.stringify(before, null, 2) : "");
  const put = (name) => (value) => set({ ...form, [name]: value });
  const save = () => patch("/admin/models", one, {
    ...different(one, { name: form.name.trim(), strategy: form.strategy || null, description: form.description || null, ...Object.fromEntries(LISTS.map((name) => [name, lines(form[name])])) }),
    ...merged(before, more),
  });
  const fallback = (name, label, hint) => html`<${Text} label=${label} hint=${hint} value=${form[name]} onInput=${put(name)} fault=${fault_(name)} class="mono" />`;
  let fault_ = () => undefined;
  return html`<${ObjectForm} title=${`Change ${one.name}`} save=${save} saved=${(made) => { warn(made); onSaved(made); }} reload=${reload} onClose=${onClose} wide>${(fault) => {
    fault_ = (name) => fault(name) || fault(`${name}[0]`);
    return html`
    <div class="form two">
      <${Text} label="Name" value=${form.name} onInput=${put("name")} fault=${fault("name")} class="mono" required autocomplete="off" />
      <${Text} label="Further names" hint="Aliases, with commas between them." value=${form.aliases} onInput=${put("aliases")} fault=${fault_("aliases")} class="mono" />
    </div>
    <${Select} label="Strategy" hint="How one of several deployments of the same priority is chosen." value=${form.strategy} options=${STRATEGIES} onInput=${put("strategy")} fault=${fault("strategy")} />
    <div class="form two">
      ${fallback("fallbacks", "Fallbacks", "Models to try when all its deployments failed.")}
      ${fallback("fallbacks_context", "When the prompt is too long", "Models with more room.")}
      ${fallback("fallbacks_content", "When its content filter refuses", "Models to try then.")}
      <${Text} label="Description" value=${form.description} onInput=${put("description")} fault=${fault("description")} />
    </div>
    <${More} kind="model" value=${more} onInput=${type} fault=${fault} />`;
  }}<//>`;
}

const NUMBERS = ["priority", "weight", "rpm", "tpm", "concurrency"];

// `one`: the deployment; null: a new one of `model`.
export function DeploymentForm({ one: now, model, reload, onClose, onSaved }) {
  const one = useOpened(now);
  const names = useProviders();
  const known = ["provider", "public_model", "model", "enabled", ...NUMBERS];
  const before = useMemo(() => (one ? others(one, known) : {}), [one]);
  const [form, set] = useState({ provider: one?.provider || "", model: one?.model || "", ...Object.fromEntries(NUMBERS.map((name) => [name, one?.[name] ?? { priority: 1, weight: 10 }[name] ?? ""])) });
  const [more, type] = useState(Object.keys(before).length ? JSON.stringify(before, null, 2) : "");
  const put = (name) => (value) => set({ ...form, [name]: value });
  const save = async () => {
    const said = { provider: form.provider, model: form.model.trim() || null, ...Object.fromEntries(NUMBERS.map((name) => [name, whole(form[name])])) };
    if (one) return patch("/admin/deployments", one, { ...different(one, said), ...merged(before, more) });
    const given = Object.fromEntries(Object.entries({ ...said, ...merged({}, more) }).filter(([, value]) => value !== null));
    return send("POST", "/admin/deployments", { public_model: model.id, ...given });
  };
  const saved = (made) => { warn(made); toast(one ? "The deployment is saved." : "The deployment is added."); onSaved(made); };
  return html`<${ObjectForm} title=${one ? `Change ${one.provider} of ${one.public_model}` : `Add a deployment to ${model.name}`} action=${one ? "Save" : "Add deployment"} save=${save} saved=${saved} reload=${reload} onClose=${onClose}>${(fault) => html`
    <div class="form two">
      <${ProviderField} names=${names} value=${form.provider} onInput=${put("provider")} fault=${fault("provider")} />
      <${Text} label="Its name there" hint="Empty: the model's own." value=${form.model} onInput=${put("model")} fault=${fault("model")} class="mono" autocomplete="off" />
      <${Text} label="Priority" type="number" min="0" hint="The smallest is tried first." value=${form.priority} onInput=${put("priority")} fault=${fault("priority")} />
      <${Text} label="Weight" type="number" min="0" hint="Its share among equal priorities; 0 leaves it out." value=${form.weight} onInput=${put("weight")} fault=${fault("weight")} />
      <${Text} label="Requests a minute" type="number" min="0" value=${form.rpm} onInput=${put("rpm")} fault=${fault("rpm")} />
      <${Text} label="Tokens a minute" type="number" min="0" value=${form.tpm} onInput=${put("tpm")} fault=${fault("tpm")} />
      <${Text} label="Requests at once" type="number" min="0" value=${form.concurrency} onInput=${put("concurrency")} fault=${fault("concurrency")} />
    </div>
    <${More} kind="deployment" value=${more} onInput=${type} fault=${fault} />`}<//>`;
}
