// One small request to a provider, made by the server with its own credential: does it work, and how quickly.
import { html, useState } from "../lib.js";
import { send } from "../api.js";
import { useLoad } from "../use.js";
import { Action, Badge, count, Dialog, duration, Facts, Failure, Select, Text } from "../ui.js";
import { enc } from "./fields.js";

// A `deployment`, a `credential` (one of its deployments, or its list of models), or some `deployments` to choose from.
export function Try({ title, deployment, credential, deployments = [], onClose }) {
  const usable = deployments.filter((one) => one.live?.served);
  const [chosen, choose] = useState(deployment || usable[0]);
  const [with_, use] = useState("");
  const [model, name] = useState("");
  const wild = chosen?.public_model?.endsWith("*") && !credential;
  const [prompt, type] = useState("Say hello in five words.");
  const [state, set] = useState({});
  const provider = chosen?.provider;
  const keys = useLoad(provider && !credential ? "/admin/credentials" : null, { provider, limit: 200 });
  const go = async (event) => {
    event.preventDefault();
    set({ busy: true });
    const path = credential ? `/admin/credentials/${enc(credential.id)}/test` : `/admin/deployments/${enc(chosen.id)}/test`;
    try {
      set({ answer: await send("POST", path, { prompt, ...(with_ ? { credential: with_ } : {}), ...(wild ? { model: model.trim() || chosen.public_model.slice(0, -1) } : {}) }) });
    } catch (error) { set({ error }); }
  };
  const held = keys.data?.data || [];
  return html`<${Dialog} title=${title} onClose=${onClose} wide><form class="stack" onSubmit=${go}>
    <div class="form two">
      ${usable.length > 1 && html`<${Select} label="Model" value=${String(chosen.id)} options=${usable.map((one) => [String(one.id), `${one.public_model} (${one.model || one.public_model})`])} onInput=${(id) => choose(usable.find((one) => String(one.id) === id))} />`}
      ${held.length > 1 && html`<${Select} label="Credential" value=${with_} options=${[["", "whichever may be used"], ...held.map((one) => [String(one.id), one.last4 ? `…${one.last4}` : String(one.id)])]} onInput=${use} />`}
      ${wild && html`<${Text} label="Model to ask for" class="mono" value=${model} onInput=${name} placeholder=${`${chosen.public_model.slice(0, -1)}…`} hint=${`${chosen.public_model} stands for all that begin so.`} required />`}
      <${Text} label="What is asked" value=${prompt} onInput=${type} maxlength="2000" required />
    </div>
    <div class="row"><button class="primary" disabled=${state.busy || !prompt.trim()} aria-busy=${state.busy}>${state.busy ? "Waiting for the answer …" : "Send"}</button><span class="muted small">${credential ? "It is sent to a model of the provider; without one, its list of models is asked for." : "A real request, at the provider's price: 128 tokens and 30 seconds at most."}</span></div>
    <div aria-live="polite"><${Failure} error=${state.error} />${state.answer && html`<${Outcome} of=${state.answer} />`}</div>
  </form><//>`;
}

export function Outcome({ of: said }) {
  const { usage, error } = said;
  return html`<div class="stack outcome">
    <div class="row">${said.ok ? html`<${Badge} tone="good">it works<//>` : html`<${Badge} tone="bad">it failed<//>`}<span class="muted">${said.provider}${said.model && html` · <code>${said.model}</code>`}${said.credential && html` · ${said.credential}`}</span></div>
    ${error && html`<div class="failure" role="alert"><strong>${error.message}</strong>${error.detail && html`<p class="wrap">The provider says: ${error.detail}</p>`}</div>`}
    ${said.text && html`<blockquote class="wrap">${said.text}</blockquote>`}
    <${Timeline} of=${said} />
    <${Facts} items=${[
      ["Status", said.status ? html`<code>${said.status}</code>` : "no answer"],
      said.dialect && ["Asked in", html`<code>${said.dialect}</code>`],
      said.said_model && ["Model it named", html`<code>${said.said_model}</code>`],
      usage && ["Tokens", `${count(usage.input)} in, ${count(usage.output)} out`],
      said.models !== null && said.models !== undefined && ["Models listed", count(said.models)],
      said.finish && ["Ended", said.finish],
    ]} /></div>`;
}

// Where the time went, as one bar.
function Timeline({ of: { connect, ttft, total } }) {
  if (!total) return null;
  if (connect === null) return html`<${Facts} items=${[["Took", duration(total)]]} />`;
  const steps = [["Connect", connect, "connect"], ["To the first content", ttft === null ? total - (connect || 0) : ttft - (connect || 0), "wait"], ttft !== null && ["The rest", total - ttft, "rest"]].filter((one) => one && one[1] !== null);
  return html`<div class="timeline"><div class="parts" aria-hidden="true">${steps.map(([name, seconds, kind]) => html`<span key=${name} class=${kind} style=${{ flexGrow: Math.max(seconds / total, 0.01) }}></span>`)}</div>
    <${Facts} items=${[connect !== null && ["Connect", duration(connect)], ttft !== null && ["First content (TTFT)", duration(ttft)], ["All of it", duration(total)]]} /></div>`;
}

// Whoever was taken out of service is used again at once.
export const Restore = ({ path, id, name, changed }) => html`<${Action} class="small" aria-label=${`Put ${name} back in service`} done=${`${name} is back in service.`} run=${async () => { await send("POST", `${path}/${enc(id)}/restore`); await changed(); }}>Put back<//>`;
