// Oneself, and those who may do something here: users, their sessions, tokens of programs.
import { html, useState } from "../lib.js";
import { send } from "../api.js";
import { navigate, useQuery } from "../router.js";
import { useTheme } from "../theme.js";
import { Badge, Card, Choice, Facts, Page, Tabs, Text, toast, FormDialog } from "../ui.js";
import { Tokens } from "./tokens.js";
import { Users } from "./users.js";

export default function Settings({ session }) {
  const [query] = useQuery();
  const tabs = [["me", "You"], ...(session.may("users") ? [["users", "Users"], ["tokens", "Tokens of programs"]] : [])];
  const tab = tabs.some(([key]) => key === query.tab) ? query.tab : "me";
  return html`<${Page} title="Settings">
    <${Tabs} label="Settings" value=${tab} options=${tabs} onInput=${(key) => navigate("/settings", key === "me" ? {} : { tab: key })} />
    ${tab === "me" ? html`<${Me} session=${session} />` : tab === "users" ? html`<${Users} />` : html`<${Tokens} />`}
  <//>`;
}

function Me({ session }) {
  const [theme, setTheme] = useTheme();
  const [open, show] = useState(null);
  return html`
    <${Card} title="You" actions=${session.id && html`<button onClick=${() => show("password")}>Change password</button>`}>
      <${Facts} items=${[
        ["Name", session.name], ["Role", session.role], session.team && ["Team", session.team],
        ["You may", html`<span class="row">${session.permissions.map((one) => html`<${Badge} key=${one}>${one}<//>`)}</span>`],
      ]} />
      ${!session.id && html`<p class="muted">${session.name === "anonymous" ? "Whoever sits at this machine is an owner here: admin.anonymous is set. Make users and take that away before others reach this port." : "This is the account of the configuration, and is changed there."}</p>`}
    <//>
    <${Card} title="Colours"><${Choice} label="Colours" value=${theme} options=${[["light", "Light"], ["dark", "Dark"], ["system", "As the system"]]} onInput=${setTheme} /><//>
    ${open === "password" && html`<${Password} onClose=${() => show(null)} />`}`;
}

function Password({ onClose }) {
  const [form, set] = useState({ current: "", password: "" });
  const save = async () => {
    await send("PUT", "/admin/me/password", form);
    toast("Changed. Your other sessions have ended.");
    // The session is another one from here on, with a token of its own.
    location.reload();
  };
  return html`<${FormDialog} title="Change your password" save=${save} onClose=${onClose}>${(fault) => html`
    <${Text} label="The current one" type="password" autocomplete="current-password" value=${form.current} onInput=${(current) => set({ ...form, current })} fault=${fault("current")} />
    <${Text} label="The new one" hint="Twelve characters or more." type="password" autocomplete="new-password" value=${form.password} onInput=${(password) => set({ ...form, password })} fault=${fault("password")} />`}<//>`;
}
