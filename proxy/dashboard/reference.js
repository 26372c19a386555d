// /docs: both APIs from /openapi.json, searchable, each operation to be tried with one's own key.
import { html, render, useEffect, useLayoutEffect, useMemo, useState } from "./lib.js";
import { get } from "./api.js";
import { decoded } from "./router.js";
import { apply } from "./theme.js";
import { schemaView } from "./reference-schema.js";
import { Try } from "./reference-try.js";
import { Badge, Card, Failure, Loading, mountToasts, Text } from "./ui.js";

apply();

const METHODS = ["get", "post", "put", "patch", "delete"];
const APPLICATIONS = ["OpenAI", "Anthropic", "Gemini", "Other paths"];
const TONES = { get: "good", delete: "bad" };

// [{id, method, path, operation}] in the order of the page: what applications use first.
function operationsOf(content) {
  const found = [];
  for (const [path, item] of Object.entries(content.paths)) {
    for (const method of METHODS) if (item[method] && !item[method]["x-alias-of"]) found.push({ id: item[method].operationId, method, path, operation: item[method], aliases: [] });
  }
  const byPath = new Map(found.map((one) => [`${one.method} ${one.path}`, one]));
  for (const [path, item] of Object.entries(content.paths)) {
    for (const method of METHODS) byPath.get(`${method} ${item[method]?.["x-alias-of"]}`)?.aliases.push(path);
  }
  return found;
}

function grouped(operations) {
  const groups = new Map();
  for (const one of operations) {
    const tag = one.operation.tags[0];
    if (!groups.has(tag)) groups.set(tag, []);
    groups.get(tag).push(one);
  }
  const rank = (tag) => (APPLICATIONS.includes(tag) ? APPLICATIONS.indexOf(tag) : APPLICATIONS.length);
  return [...groups].sort(([a], [b]) => rank(a) - rank(b) || a.localeCompare(b));
}

const words = ({ method, path, operation, aliases }) => `${method} ${path} ${operation.summary} ${operation.tags[0]} ${aliases.join(" ")}`.toLowerCase();

function Reference({ content, place }) {
  const [search, type] = useState("");
  const [chosen, choose] = useState(() => decoded(location.hash.slice(1)));
  useEffect(() => {
    // "main" is the page itself, that one skips to.
    const moved = () => { const to = decoded(location.hash.slice(1)); if (to !== "main") choose(to); };
    addEventListener("hashchange", moved);
    return () => removeEventListener("hashchange", moved);
  }, []);
  const all = useMemo(() => operationsOf(content), [content]);
  const asked = search.toLowerCase().split(/\s+/).filter(Boolean);
  const shown = all.filter((one) => asked.every((word) => words(one).includes(word)));
  // "tag/providers" is how one is made: it has all the fields.
  const tagged = all.filter((one) => `tag/${one.operation.tags[0]}` === chosen);
  const current = all.find((one) => one.id === chosen) || tagged.find((one) => one.method === "post") || tagged[0] || all.find((one) => one.path === "/v1/chat/completions") || all[0];
  const slash = (event) => { if (event.key === "/" && !["INPUT", "TEXTAREA", "SELECT"].includes(event.target.tagName)) { event.preventDefault(); document.querySelector("nav input")?.focus(); } };
  useLayoutEffect(() => { addEventListener("keydown", slash); return () => removeEventListener("keydown", slash); }, []);
  useEffect(() => { if (chosen) document.querySelector("main h1")?.focus(); document.title = `${current.operation.summary} · Headrace API`; }, [current.id]);
  return html`<a class="skip" href="#main">Skip to the operation</a><div class="frame reference">
    <nav class="nav open" aria-label="Operations">
      <a class="brand" href=${place === "admin" ? "/dashboard" : "/docs"}>Headrace API</a>
      <${Text} label="Search" hint="Press / to come here." type="search" value=${search} onInput=${type} />
      <div class="operations">
        ${grouped(shown).map(([tag, operations]) => html`<section key=${tag}><h2 class="tag">${tag}</h2>
          ${operations.map((one) => html`<a class="item operation" key=${one.id} href="#${one.id}" aria-current=${one.id === current.id ? "page" : undefined}><span class="method ${one.method}">${one.method}</span><span class="path">${one.path}</span></a>`)}</section>`)}
        ${shown.length === 0 && html`<p class="muted">Nothing fits. Search for a path, a word of what it does, or a method.</p>`}
      </div>
      <div class="rest"><a class="item" href="/openapi.json">openapi.json</a><span class="muted small">Version ${content.info.version}</span></div>
    </nav>
    <main class="main" id="main" tabindex="-1"><${Operation} key=${current.id} it=${current} content=${content} place=${place} /></main>
  </div>`;
}

function Operation({ it, content, place }) {
  const { method, path, operation, aliases } = it;
  const bodies = Object.entries(operation.requestBody?.content || {});
  const answers = Object.entries(operation.responses).filter(([status]) => status < "300" || status === "default");
  const refusals = Object.keys(operation.responses).filter((status) => status >= "400" && status !== "default");
  const clients = operation["x-listener"] === "clients";
  return html`
    <div class="head"><h1 tabindex="-1">${operation.summary}</h1><p class="lead mono"><${Badge} tone=${TONES[method] || ""}>${method.toUpperCase()}<//> ${path}</p></div>
    <div class="stack">
      <p class="muted">${clients
        ? "For applications, on the listener of the API. It needs a virtual key, unless none is needed here."
        : html`Of the admin API. It needs the permission <code>${operation["x-permission"]}</code>.`}
        ${aliases.length > 0 && html` The same is at ${aliases.map((one, n) => html`${n ? ", " : ""}<code>${one}</code>`)}.`}</p>
      ${operation.parameters?.length > 0 && html`<${Card} title="Parameters"><div class="scroll" tabindex="0" role="region" aria-label="Parameters"><table><thead><tr><th>Name</th><th>In</th><th>What</th></tr></thead>
        <tbody>${operation.parameters.map((one) => html`<tr><td><code>${one.name}</code>${one.required && html` <span class="muted small">required</span>`}</td><td>${one.in}</td><td>${schemaView(one.schema, content)}</td></tr>`)}</tbody></table></div><//>`}
      ${bodies.map(([kind, body]) => html`<${Card} title=${`Body · ${kind}`}>${schemaView(body.schema, content)}<//>`)}
      <${Try} it=${it} content=${content} place=${place} />
      ${answers.map(([status, answer]) => html`<${Card} title=${`Answer ${status === "default" ? "otherwise" : status}`}><p class="muted">${answer.description}</p>
        ${Object.entries(answer.content || {}).filter(([kind]) => !kind.includes("problem")).map(([kind, one]) => html`<div><code>${kind}</code>${schemaView(one.schema, content)}</div>`)}<//>`)}
      ${refusals.length > 0 && html`<p class="muted small">Refusals: ${refusals.join(", ")}, each as <code>application/problem+json</code> with what was expected.</p>`}
    </div>`;
}

function App() {
  const [state, set] = useState({});
  const load = () => {
    set({});
    // The same page is on both listeners; only one of them has the admin API behind it.
    const place = get("/admin/session").then(() => "admin", (error) => (error.code === "unauthenticated" ? "admin" : "clients"));
    Promise.all([get("/openapi.json"), place]).then(([content, found]) => set({ content, place: found }), (error) => set({ error }));
  };
  useEffect(load, []);
  if (state.error) return html`<main class="door"><div class="card"><${Failure} error=${state.error} retry=${load} /></div></main>`;
  return state.content ? html`<${Reference} ...${state} />` : html`<main class="door"><${Loading} /></main>`;
}

mountToasts();
render(html`<${App} />`, document.getElementById("app"));
