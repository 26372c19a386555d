// What was asked: the log, as it grows or page by page, and one request with its attempts.
import { html } from "../lib.js";
import { List } from "./requests-list.js";
import { One } from "./requests-one.js";

export default function Requests({ rest, session }) {
  return rest ? html`<${One} key=${rest} rid=${rest} session=${session} />` : html`<${List} />`;
}
