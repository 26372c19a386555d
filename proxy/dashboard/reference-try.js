// Tries an operation: a form of its parameters and body, and what was answered, as it comes.
import { html, useRef, useState } from "./lib.js";
import { headers as known } from "./api.js";
import { resume } from "./session.js";
import { Area, Badge, Card, Copy, duration, Text } from "./ui.js";
import { exampleOf } from "./reference-schema.js";

const SHOWN = 200_000;
// In this module's memory, so that going on to the next operation does not ask for it again.
const kept = { key: "", token: "" };

export function Try({ it, content, place }) {
  const { method, path, operation } = it;
  const clients = operation["x-listener"] === "clients";
  const [kind, body] = Object.entries(operation.requestBody?.content || {})[0] || [];
  const json = kind === undefined || kind.includes("json");
  const [values, set] = useState({});
  const [text, write] = useState(body && json ? JSON.stringify(body.example ?? exampleOf(body.schema, content), null, 2) : "");
  const [secret, setSecret] = useState(clients ? kept.key : kept.token);
  const [said, say] = useState(null);
  const control = useRef(null);
  const target = addressOf(path, operation, values);
  const reachable = clients ? true : place === "admin";
  const streams = /WebSocket/.test(operation.summary);

  const go = async (event) => {
    event.preventDefault();
    kept[clients ? "key" : "token"] = secret;
    control.current = new AbortController();
    const begun = performance.now();
    const state = { text: "", size: 0 };
    say({ busy: true, text: "" });
    try {
      const answer = await ask({ clients, place, method, target, secret, text: body && json ? text : undefined, signal: control.current.signal });
      Object.assign(state, { status: answer.status, headers: [...answer.headers], first: (performance.now() - begun) / 1000 });
      const reader = answer.body?.getReader();
      const decoder = new TextDecoder();
      for (let part; reader && !(part = await reader.read()).done;) {
        state.size += part.value.length;
        if (state.text.length < SHOWN) state.text += decoder.decode(part.value, { stream: true });
        say({ ...state, busy: true });
      }
      say({ ...state, text: pretty(state), total: (performance.now() - begun) / 1000 });
    } catch (error) {
      say({ ...state, error: error.name === "AbortError" ? "Stopped." : `No answer: ${error.message}` });
    }
  };

  if (!reachable) return html`<${Card} title="Try it"><p class="muted">The admin API is on the listener of operators (<code>admin.port</code>). Open <code>/docs</code> there to try this.</p><//>`;
  if (streams || !json) return html`<${Card} title="Try it"><pre>${curl({ method, target, clients, place, kind })}</pre><p class="muted">${streams ? "A WebSocket cannot be tried from here." : "A form with a file is best sent by a program."}</p><//>`;
  return html`<${Card} title="Try it"><form class="stack" onSubmit=${go}>
    ${operation.parameters?.length > 0 && html`<div class="form two">${operation.parameters.filter((one) => one.in !== "header").map((one) => html`<${Text} key=${one.name} label=${`${one.name}${one.required ? "" : " (optional)"}`} value=${values[one.name]} onInput=${(value) => set({ ...values, [one.name]: value })} required=${Boolean(one.required)} />`)}</div>`}
    ${body && html`<${Area} label="Body" class="mono" rows=${Math.min(16, text.split("\n").length + 1)} value=${text} onInput=${write} spellcheck="false" />`}
    <${Text} label=${clients ? "Virtual key" : "Token of the admin API"} hint=${clients ? "Kept in this page until you leave it." : "Empty: as whoever is signed in here. Kept in this page until you leave it."} type="password" autocomplete="off" value=${secret} onInput=${setSecret} />
    <div class="row"><button class="primary" disabled=${said?.busy}>Send</button>${said?.busy && html`<button type="button" onClick=${() => control.current.abort()}>Stop</button>`}<code class="muted">${method.toUpperCase()} ${target}</code></div>
  </form>
  ${said && html`<div class="stack" aria-live="polite">
    ${said.error && html`<div class="failure" role="alert">${said.error}</div>`}
    ${said.status && html`<div class="row"><${Badge} tone=${said.status < 400 ? "good" : "bad"}>${said.status}<//><span class="muted">${said.total ? `${duration(said.total)}, first bytes after ${duration(said.first)}, ` : ""}${said.size} bytes</span><${Copy} text=${said.text} /></div>
      <pre class="answer" tabindex="0" aria-label="Answer">${said.text}${said.size > SHOWN ? "\n…" : ""}</pre>
      <details><summary>Headers</summary><pre>${said.headers.map(([name, value]) => `${name}: ${value}`).join("\n")}</pre></details>`}
  </div>`}
  <details><summary>With curl</summary><div class="row"><${Copy} text=${curl({ method, target, clients, place, text, kind })} /></div><pre>${curl({ method, target, clients, place, text, kind })}</pre></details><//>`;
}

function addressOf(path, operation, values) {
  const filled = path.replace(/\{([a-z_]+)\}/g, (whole, name) => (values[name] ? encodeURIComponent(values[name]).replaceAll("%2F", "/") : whole));
  const pairs = (operation.parameters || []).filter((one) => one.in === "query" && values[one.name]).map((one) => [one.name, values[one.name]]);
  return filled + (pairs.length ? `?${new URLSearchParams(pairs)}` : "");
}

// On the listener of operators the API is reached through the relay of the playground, as a page may ask its own origin only.
async function ask({ clients, place, method, target, secret, text, signal }) {
  const sent = {};
  if (text !== undefined) sent["content-type"] = "application/json";
  if (clients && place === "admin") {
    await resume();
    const more = known(sent);
    if (secret) more["x-headrace-playground-key"] = secret;
    return fetch(`/admin/playground${target}`, { method, headers: more, body: text, signal });
  }
  if (secret) sent.authorization = `Bearer ${secret}`;
  else if (!clients) await resume();
  return fetch(target, { method, headers: secret ? sent : known(sent), body: text, signal });
}

function pretty({ text, headers }) {
  const kind = headers.find(([name]) => name === "content-type")?.[1] || "";
  if (!kind.includes("json") || text.length >= SHOWN) return text;
  try { return JSON.stringify(JSON.parse(text), null, 2); } catch { return text; }
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
function curl({ method, target, clients, place, text, kind }) {
  // Where the other listener is, this page does not know: there it is as usual.
  const at = place === (clients ? "clients" : "admin") ? location.origin : clients ? "localhost:8000" : "localhost:8001";
  const lines = [`curl -N -X ${method.toUpperCase()} ${quoted(at + target)}`, `-H "Authorization: Bearer $${clients ? "HEADRACE_KEY" : "HEADRACE_ADMIN_TOKEN"}"`];
  if (text) lines.push("-H 'content-type: application/json'", `-d ${quoted(text)}`);
  else if (kind && !kind.includes("json")) lines.push("-F model=demo", "-F file=@sound.wav");
  return lines.join(" \\\n  ");
}
