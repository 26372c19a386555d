// Who is signed in. Nothing of it is kept in the browser but the cookie, which the server set and no script can read.
import { createContext, useContext } from "./lib.js";
import { get, opens, Problem, send } from "./api.js";

export const Session = createContext(null);

// {name, role, team, permissions, may(permission)}
export const useSession = () => useContext(Session);

function session(content) {
  opens.csrf(content.csrf ?? null);
  const held = new Set(content.permissions);
  return { ...content, may: (permission) => held.has(permission) };
}

// Who one is already, by cookie or because this machine needs no sign-in; null: nobody.
export async function resume() {
  try {
    return session(await get("/admin/session"));
  } catch (error) {
    if (error instanceof Problem && error.status === 401) return null;
    throw error;
  }
}

// A browser says nothing where it does not keep the cookie, which is `Secure`: all that is asked next would be a 401.
async function kept(opened) {
  if (await resume()) return opened;
  opens.csrf(null);
  throw new Problem(0, {
    detail: "You are known here, but this browser has not kept the session: it does so only for pages that came over HTTPS or from this "
      + "machine. Open this page over HTTPS, or on localhost by way of ssh -L.",
    type: "not_kept",
  });
}

export async function signIn(username, password) {
  return kept(session(await send("POST", "/admin/login", { username, password })));
}

export async function signInByToken(token) {
  opens.bearer(token);
  try {
    const content = await send("POST", "/admin/session");
    opens.bearer(null);
    return await kept(session(content));
  } catch (error) {
    if (error.code === "no_store" || error.code === "no_session") return session(await get("/admin/session"));
    opens.bearer(null);
    throw error;
  }
}

export async function signOut() {
  await send("POST", "/admin/logout");
  opens.csrf(null);
  opens.bearer(null);
}
