// A field of a filter in the address: taken over when one has stopped typing, and as the address says when that changes.
import { html, useEffect, useState } from "../lib.js";
import { useRested } from "../use.js";
import { Text } from "../ui.js";

// `name` of the `query`, which `set` changes (router.js).
export function Typed({ name, query, set, ...rest }) {
  const [text, type] = useState(query[name] || "");
  const rested = useRested(text, 400);
  useEffect(() => { if ((query[name] || "") !== rested) set({ [name]: rested, after: "" }, { replace: true }); }, [rested]);
  useEffect(() => { if ((query[name] || "") !== rested) type(query[name] || ""); }, [query[name]]);
  return html`<${Text} value=${text} onInput=${type} autocomplete="off" spellcheck="false" ...${rest} />`;
}
