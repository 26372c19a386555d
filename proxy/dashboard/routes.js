import { decoded } from "./router.js";

// The pages: where they are, what they are called, which permission they need, and the module each is loaded from when first asked for.
export const ROUTES = [
  { path: "/", title: "Overview", permission: "read", load: () => import("./pages/overview.js") },
  { path: "/requests", title: "Requests", permission: "read", load: () => import("./pages/requests.js") },
  { path: "/playground", title: "Playground", permission: "read", load: () => import("./pages/playground.js") },
  { path: "/providers", title: "Providers", permission: "read", load: () => import("./pages/providers.js") },
  { path: "/models", title: "Models", permission: "read", load: () => import("./pages/models.js") },
  { path: "/keys", title: "Keys and teams", permission: "keys", load: () => import("./pages/keys.js") },
  { path: "/config", title: "Configuration", permission: "configure", load: () => import("./pages/config.js") },
  { path: "/audit", title: "Audit", permission: "audit", load: () => import("./pages/audit.js") },
  { path: "/settings", title: "Settings", permission: "self", load: () => import("./pages/settings.js") },
];

// The page for a path, and what is left of it: /requests/abc is "abc" of requests.
export function find(path) {
  const found = ROUTES.filter((one) => one.path === path || (one.path !== "/" && path.startsWith(`${one.path}/`)));
  if (!found.length) return null;
  const route = found.reduce((best, one) => (one.path.length > best.path.length ? one : best));
  return { route, rest: decoded(path.slice(route.path.length).replace(/^\//, "")) };
}
