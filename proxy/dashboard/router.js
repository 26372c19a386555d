// Where one is: the path below /dashboard and the query, both in the address, so that a page can be linked to and left with "back".
import { html, useEffect, useState } from "./lib.js";

export const BASE = "/dashboard";

function here() {
  const path = location.pathname.slice(BASE.length).replace(/\/+$/, "") || "/";
  return { path, query: Object.fromEntries(new URLSearchParams(location.search)) };
}

export function href(path, query = {}) {
  const pairs = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(pairs).toString();
  return `${BASE}${path === "/" ? "" : path}${text ? `?${text}` : ""}`;
}

export function navigate(path, query = {}, { replace = false } = {}) {
  history[replace ? "replaceState" : "pushState"](null, "", href(path, query));
  dispatchEvent(new Event("route"));
}

export function useRoute() {
  const [route, set] = useState(here);
  useEffect(() => {
    const changed = () => set(here());
    addEventListener("popstate", changed);
    addEventListener("route", changed);
    return () => { removeEventListener("popstate", changed); removeEventListener("route", changed); };
  }, []);
  return route;
}

// Text of an address as it was written; as it stands there where it is no UTF-8.
export function decoded(text) {
  try { return decodeURIComponent(text); } catch { return text; }
}

// The query as state: `set({status: "5xx"})` changes what it names and leaves the rest, as the address has it by then; empty
// values go away.
export function useQuery() {
  const { query } = useRoute();
  return [query, (changes, options) => { const now = here(); navigate(now.path, { ...now.query, ...changes }, options); }];
}

export function Link({ to, query, children, ...rest }) {
  const go = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return;
    event.preventDefault();
    navigate(to, query);
    rest.onClick?.();
  };
  return html`<a ...${rest} href=${href(to, query)} onClick=${go}>${children}</a>`;
}
