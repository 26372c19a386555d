// Light, dark, or as the system has it. The choice is a word in local storage: it opens nothing.
import { useEffect, useState } from "./lib.js";

const NAME = "headrace-theme";
const read = () => { try { return localStorage.getItem(NAME) || "system"; } catch { return "system"; } };

export function apply(theme = read()) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function useTheme() {
  const [theme, set] = useState(read);
  useEffect(() => {
    const changed = () => set(read());
    addEventListener("theme", changed);
    return () => removeEventListener("theme", changed);
  }, []);
  const choose = (chosen) => {
    try { localStorage.setItem(NAME, chosen); } catch { /* not kept, then */ }
    set(chosen);
    apply(chosen);
    dispatchEvent(new Event("theme"));
  };
  return [theme, choose];
}
