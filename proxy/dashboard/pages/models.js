import { html } from "../lib.js";
import { Empty, Page } from "../ui.js";

export default function Screen() {
  return html`<${Page} title="Models"><${Empty} title="Being built">…<//><//>`;
}
