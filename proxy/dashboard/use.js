// What pages read, as state.
import { useCallback, useEffect, useRef, useState } from "./lib.js";
import { events, get } from "./api.js";

// A GET of the admin API: {data, error, loading, reload}. What was there stays while it is read anew. `every`: seconds.
// A path of null reads nothing. `parameters` may be a function: it is called for each read (an hour ago is another time then),
// and `key` says what it depends on. While one is being read, no other is asked for by the clock: an answer that takes longer
// than that would never be shown.
export function useLoad(path, parameters = {}, { every, key: depends = "" } = {}) {
  const key = path === null ? null : path + (typeof parameters === "function" ? depends : JSON.stringify(parameters));
  const [state, set] = useState({ data: undefined, error: null, loading: true });
  const latest = useRef(0);
  const reading = useRef(0);
  const reload = useCallback(async () => {
    if (key === null) return;
    const mine = ++latest.current;
    reading.current = mine;
    set((before) => ({ ...before, loading: true }));
    try {
      const data = await get(path, typeof parameters === "function" ? parameters() : parameters);
      if (mine === latest.current) set({ data, error: null, loading: false });
    } catch (error) {
      if (mine === latest.current) set((before) => ({ ...before, error, loading: false }));
    } finally {
      if (reading.current === mine) reading.current = 0;
    }
  }, [key]);
  useEffect(() => {
    set({ data: undefined, error: null, loading: true });
    reload();
    if (!every) return () => { latest.current += 1; };
    const timer = setInterval(() => document.hidden || reading.current || reload(), every * 1000);
    return () => { latest.current += 1; clearInterval(timer); };
  }, [key, every]);
  return { ...state, reload };
}

// Server-sent events while the page is looked at. onEvent(name, data) with data read as JSON; the state is
// "connecting", "live", "lost" or "refused".
export function useEvents(path, onEvent) {
  const [state, set] = useState("connecting");
  const call = useRef(onEvent);
  call.current = onEvent;
  useEffect(() => {
    if (path === null) return undefined;
    let stop = () => {};
    const start = () => { stop = events(path, { onEvent: (one) => call.current(one.event, JSON.parse(one.data)), onState: set }); };
    const seen = () => { stop(); if (!document.hidden) start(); };
    start();
    document.addEventListener("visibilitychange", seen);
    return () => { document.removeEventListener("visibilitychange", seen); stop(); };
  }, [path]);
  return state;
}

// A value that is taken over only when it has rested: for what is typed into filters.
export function useRested(value, milliseconds = 300) {
  const [rested, set] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => set(value), milliseconds);
    return () => clearTimeout(timer);
  }, [value, milliseconds]);
  return rested;
}
