// The frame: who is signed in, where one is, and the page for it.
import { html, render, useEffect, useErrorBoundary, useRef, useState } from "./lib.js";
import { Link, navigate, useRoute } from "./router.js";
import { find, ROUTES } from "./routes.js";
import { resume, Session, signIn, signInByToken, signOut } from "./session.js";
import { Choice, explain, Failure, Loading, mountToasts, Page, Text, toast } from "./ui.js";
import { apply, useTheme } from "./theme.js";

apply();

const Mark = () => html`<svg viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="8" fill="#0b6e6e" /><path d="M8 9v14M24 9v14M8 14c4 0 4-3 8-3s4 3 8 3M8 20c4 0 4-3 8-3s4 3 8 3" fill="none" stroke="#fff" stroke-width="2.5" stroke-linecap="round" /></svg>`;

function Door({ onIn }) {
  const [way, choose] = useState("password");
  const [name, setName] = useState("");
  const [secret, setSecret] = useState("");
  const [error, fail] = useState(null);
  const [busy, work] = useState(false);
  useEffect(() => { document.title = "Sign in · Headrace"; }, []);
  const go = async (event) => {
    event.preventDefault();
    work(true);
    try { onIn(await (way === "token" ? signInByToken(secret) : signIn(name, secret))); } catch (failure) { fail(failure); work(false); }
  };
  return html`<main class="door"><form class="card stack" onSubmit=${go}>
    <div class="brand"><${Mark} />Headrace</div>
    <h1>Sign in</h1>
    <${Choice} label="How" value=${way} options=${[["password", "Name and password"], ["token", "Token"]]} onInput=${(key) => { choose(key); setSecret(""); fail(null); }} />
    ${way === "password" && html`<${Text} label="Name" value=${name} onInput=${setName} autocomplete="username" required />`}
    <${Text} label=${way === "token" ? "Token" : "Password"} hint=${way === "token" ? "admin.token of the configuration; without one, the start of the server printed one." : ""} type="password" value=${secret} onInput=${setSecret} autocomplete=${way === "token" ? "off" : "current-password"} required />
    <${Failure} error=${error} />
    <button class="primary" disabled=${busy || !secret}>Sign in</button>
  </form></main>`;
}

function Nav({ session, path, open, close, leave }) {
  const [theme, setTheme] = useTheme();
  const shown = ROUTES.filter((one) => session.may(one.permission));
  const current = find(path)?.route.path;
  return html`<nav class="nav" aria-label="Pages" data-open=${open}>
    <${Link} class="brand" to="/" onClick=${close}><${Mark} />Headrace<//>
    ${shown.map((one) => html`<${Link} class="item" key=${one.path} to=${one.path} onClick=${close} aria-current=${one.path === current ? "page" : undefined}>${one.title}<//>`)}
    <div class="rest">
      <a class="item" href="/docs">API reference</a>
      <${Choice} label="Colours" value=${theme} options=${[["light", "Light"], ["dark", "Dark"], ["system", "Auto"]]} onInput=${setTheme} />
      <div class="muted">${session.name} · ${session.role}</div>
      ${session.csrf && html`<button onClick=${leave}>Sign out</button>`}
      ${open && html`<button onClick=${close}>Close menu</button>`}
    </div>
  </nav>`;
}

// The module of a page, loaded once.
const loaded = new Map();
function Screen({ route, rest, session }) {
  const [state, set] = useState({ path: null });
  const [broken, again] = useErrorBoundary();
  const top = useRef(null);
  const at = useRoute();
  // What broke it may have been in the address.
  useEffect(() => { if (broken) again(); }, [at]);
  useEffect(() => {
    let current = true;
    const put = (page) => { loaded.set(route.path, page); if (current) set({ path: route.path, page }); };
    if (loaded.has(route.path)) put(loaded.get(route.path));
    else route.load().then((module) => put(module.default), (error) => current && set({ path: route.path, error }));
    return () => { current = false; };
  }, [route.path]);
  useEffect(() => { if (state.page) top.current?.querySelector("h1")?.focus({ preventScroll: true }); }, [state.path]);
  if (broken) return html`<${Page} title=${route.title}><${Failure} error=${{ message: `This page failed: ${broken.message}` }} retry=${again} /><//>`;
  if (state.path !== route.path) return html`<${Loading} />`;
  if (state.error) return html`<${Page} title=${route.title}><${Failure} error=${{ message: "This page could not be loaded. A newer version may be installed: load it anew." }} retry=${() => location.reload()} /><//>`;
  return html`<div ref=${top}><${state.page} rest=${rest} session=${session} /></div>`;
}

function App() {
  const [session, set] = useState(undefined);
  const [failed, fail] = useState(null);
  const [open, setOpen] = useState(false);
  const { path } = useRoute();
  const start = () => { fail(null); resume().then(set, fail); };
  useEffect(() => {
    start();
    const out = () => set((before) => (before === undefined ? before : null));
    addEventListener("signed-out", out);
    return () => removeEventListener("signed-out", out);
  }, []);
  useEffect(() => {
    if (!open) return undefined;
    const key = (event) => event.key === "Escape" && setOpen(false);
    addEventListener("keydown", key);
    return () => removeEventListener("keydown", key);
  }, [open]);
  if (failed) return html`<main class="door"><div class="card"><${Failure} error=${failed} retry=${start} /></div></main>`;
  if (session === undefined) return html`<main class="door"><${Loading} /></main>`;
  if (session === null) return html`<${Door} onIn=${set} />`;
  const found = find(path);
  const leave = async () => {
    try { await signOut(); } catch (error) { if (error.status !== 401) { toast(explain(error), { tone: "bad" }); return; } }
    set(null);
    navigate("/");
  };
  const page = !found
    ? html`<${Page} title="Not here"><p>There is no such page. <${Link} to="/">Go to the overview<//>.</p><//>`
    : !session.may(found.route.permission)
      ? html`<${Page} title=${found.route.title}><p>This page needs the permission <code>${found.route.permission}</code>, which ${session.role} has not. Ask somebody who may give it.</p><//>`
      : html`<${Screen} key=${found.route.path} route=${found.route} rest=${found.rest} session=${session} />`;
  return html`<${Session.Provider} value=${session}>
    <a class="skip" href="#main">Skip to the page</a>
    <div class="frame">
      <div class="topbar"><${Link} class="brand" to="/"><${Mark} />Headrace<//><button aria-expanded=${open} onClick=${() => setOpen(!open)}>Menu</button></div>
      <${Nav} session=${session} path=${path} open=${open} close=${() => setOpen(false)} leave=${leave} />
      <main class="main" id="main" tabindex="-1">${page}</main>
    </div>
  <//>`;
}

mountToasts();
render(html`<${App} />`, document.getElementById("app"));
