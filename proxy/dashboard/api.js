// The admin API for pages: JSON in and out, problems (RFC 9457) as exceptions, the token that a change needs.
//
//   get("/admin/models", {limit: 50})              the answer's body
//   send("PATCH", "/admin/models/7", {…})          the same; `revision` makes it conditional
//   events("/admin/live", {onEvent, onState})      server-sent events until the function it returns is called
//
// What opens doors is in this module's memory and in a cookie that no script can read, and nowhere else.

let csrf = null;
let bearer = null;

export class Problem extends Error {
  constructor(status, body) {
    super(body.detail || body.title || `The server answered ${status}.`);
    this.status = status;
    this.code = String(body.type || "").split(":").pop();
    this.faults = body.errors || [];
    this.requestId = body.request_id || "";
  }
}

export const opens = {
  csrf(value) { csrf = value; },
  // Only where there is no store to keep sessions in: then it is good until the page is left.
  bearer(value) { bearer = value; },
};

export function query(parameters = {}) {
  const pairs = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(pairs).toString();
  return text ? `?${text}` : "";
}

export function headers(extra = {}) {
  const all = { ...extra };
  if (bearer) all.authorization = `Bearer ${bearer}`;
  if (csrf) all["x-headrace-csrf"] = csrf;
  return all;
}

export async function get(path, parameters, { signal } = {}) {
  return read(await ask(path + query(parameters), { headers: headers(), signal }));
}

export async function send(method, path, body, { revision, type = "application/json", parameters, signal } = {}) {
  const more = {};
  if (body !== undefined) more["content-type"] = type;
  if (revision !== undefined && revision !== null) more["if-match"] = `"${revision}"`;
  const sent = () => ask(path + query(parameters), {
    method,
    headers: headers(more),
    body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
    signal,
  }).then(read);
  try {
    return await sent();
  } catch (error) {
    if (error.code !== "csrf" || !csrf) throw error;
    // Somebody signed in anew beside this page: the cookie is that one's, so its token has to be, too.
    csrf = (await get("/admin/session")).csrf ?? null;
    return sent();
  }
}

// Any answer as it is, for those who read a stream or a file. Raises Problem unless it is a success, or (`relayed`) what
// somebody else said by way of the admin API: that is no problem document.
export async function raw(path, options = {}, { relayed = false } = {}) {
  const response = await ask(path, { ...options, headers: headers(options.headers) });
  const problem = (response.headers.get("content-type") || "").startsWith("application/problem+json");
  if (relayed ? problem : !response.ok) await refuse(response);
  return response;
}

async function ask(path, options) {
  try {
    return await fetch(path, { cache: "no-store", credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, { detail: "The server does not answer. Is it running?", type: "unreachable" });
  }
}

async function read(response) {
  if (!response.ok) await refuse(response);
  if (response.status === 204) return null;
  const kind = response.headers.get("content-type") || "";
  return kind.includes("json") ? response.json() : response.text();
}

async function refuse(response) {
  let body = {};
  try { body = await response.json(); } catch { /* no problem document: the status has to do */ }
  const problem = new Problem(response.status, body);
  if (response.status === 401 && problem.code === "unauthenticated") dispatchEvent(new Event("signed-out"));
  throw problem;
}

// Server-sent events by fetch, as an EventSource can neither send a token nor say why it was refused.
export function events(path, { onEvent, onState = () => {} }) {
  const control = new AbortController();
  let wait = 500;
  (async () => {
    while (!control.signal.aborted) {
      try {
        const response = await raw(path, { signal: control.signal, headers: { accept: "text/event-stream" } });
        onState("live");
        wait = 500;
        await eachEvent(response.body, onEvent);
      } catch (error) {
        if (control.signal.aborted) return;
        if ([401, 403, 404].includes(error.status)) { onState("refused", error); return; }
      }
      onState("lost");
      await new Promise((go) => setTimeout(go, wait));
      wait = Math.min(wait * 2, 10_000);
    }
  })();
  return () => control.abort();
}

// Calls onEvent({event, data, id, text}) for each event of a body; data is text, `text` all of it as it came. `all`: also
// for what has no data, such as comments, and for what the end has cut.
export async function eachEvent(body, onEvent, { all = false } = {}) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) {
      if (all && text.trim()) onEvent({ event: "", data: "", id: "", text });
      return;
    }
    text += value;
    const parts = text.split(/\r?\n\r?\n/);
    text = parts.pop();
    for (const part of parts) {
      const found = { event: "message", data: [], id: "" };
      for (const line of part.split(/\r?\n/)) {
        const [, name, content] = /^([a-z]*):? ?(.*)$/s.exec(line) || [];
        if (name === "data") found.data.push(content);
        else if (name === "event" || name === "id") found[name] = content;
      }
      if (found.data.length || all) onEvent({ ...found, data: found.data.join("\n"), text: part });
    }
  }
}
