// How it goes: now, lately, and how the providers are.
import { html } from "../lib.js";
import { Page } from "../ui.js";
import { LiveCharts, Liveness, Tiles, useLive } from "./overview-live.js";

export default function Overview() {
  const { samples, state } = useLive();
  return html`<${Page} title="Overview" actions=${html`<${Liveness} state=${state} />`}>
    <${Tiles} now=${samples[samples.length - 1]} />
    <${LiveCharts} samples=${samples} />
  <//>`;
}
