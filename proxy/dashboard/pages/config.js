// What this installation is told to do: its objects and where each comes from, settings, what goes in and out as a file, and
// which workers serve by it.
import { html, useState } from "../lib.js";
import { send } from "../api.js";
import { useQuery } from "../router.js";
import { Confirm, Page, Tabs, toast } from "../ui.js";
import { Objects } from "./config-objects.js";
import { Settings } from "./config-settings.js";
import { Transfer } from "./config-transfer.js";
import { Workers } from "./config-workers.js";

const VIEWS = [["objects", "Objects", Objects], ["settings", "Settings", Settings], ["transfer", "Export and import", Transfer], ["workers", "Workers", Workers]];

// What every worker does at once: button, what is asked before, and what is said after.
const DONE_BY_ALL = [
  { path: "/admin/reload", button: "Reload the file", title: "Read the configuration file anew?", action: "Reload", done: "The file was read anew.",
    words: "Every worker reads it and serves by it at once; requests under way end as they began. A file that cannot be used changes nothing, and you are told every problem in it." },
  { path: "/admin/cache/clear", button: "Clear caches", title: "Clear caches?", action: "Clear", done: "The caches are empty.",
    words: "Answers that are kept to be given again, and what is remembered to save time, are forgotten in every worker. The next requests take longer." },
  { path: "/admin/stats/reset", button: "Reset statistics", title: "Reset statistics?", action: "Reset", done: "Statistics count anew.",
    words: "The statistics of the compatible pages begin to count anew. What was booked, and the request log, stay." },
];

export default function Configuration({ session }) {
  const [query, change] = useQuery();
  const [asked, ask] = useState(null);
  const view = VIEWS.some(([name]) => name === query.view) ? query.view : "objects";
  const Shown = VIEWS.find(([name]) => name === view)[2];
  const clear = Object.fromEntries(Object.keys(query).map((name) => [name, ""]));
  const run = async () => {
    const { workers, missing } = await send("POST", asked.path);
    const late = missing?.length ? ` ${missing.length} of ${workers.length} workers have not said so yet.` : "";
    toast(asked.done + late, { tone: late ? "bad" : "" });
  };
  const actions = session.may("operate") && html`<div class="row">${DONE_BY_ALL.map((one) => html`<button key=${one.path} onClick=${() => ask(one)}>${one.button}</button>`)}</div>`;
  return html`<${Page} title="Configuration" lead="What this installation is told to do, and who says so: the configuration file, or the database." actions=${actions}>
    <div><${Tabs} label="Parts" value=${view} options=${VIEWS} onInput=${(name) => change({ ...clear, view: name === "objects" ? "" : name })} />
      <${Shown} session=${session} /></div>
    ${asked && html`<${Confirm} title=${asked.title} action=${asked.action} run=${run} onClose=${() => ask(null)}>${asked.words}<//>`}
  <//>`;
}
