"""Parts of the documentation that come from the code: `python -m tests.docs.tables [BENCH.json ...]` writes them anew.

With files that `python -m bench --json` wrote, their figures are published too: see `figures.publish`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import capacity, capacity_report
from proxy.control.admin.access import GRANTS, Permission, Role
from proxy.core.config.presets import presets
from proxy.core.errors import ERRORS, Cause, ProxyError
from proxy.dialects import DIALECTS
from proxy.dialects.loss import FEATURES
from proxy.dialects.render import FAMILIES
from proxy.gateway.attempt import End
from proxy.gateway.event_relay import BROKEN
from proxy.gateway.verdict import RULES
from tests.docs import figures
from tests.docs.markdown import code, table
from tests.docs.pages import PAGES, generated, replace_generated

_PUBLIC = Permission.PUBLIC


# --- providers ---


def preset_table() -> str:
    """Every preset of conf/providers.yaml."""
    return table(
        (
            "preset",
            "credential from",
            "speaks",
            "to know",
            "known from",
            "not confirmed",
            "checked",
        ),
        (
            (
                f"`{name}`",
                _variables(block),
                _formats(block["dialects"]),
                _note(block),
                _sources(block),
                _unconfirmed(block),
                str(block["as_of"]),
            )
            for name, block in sorted(presets().items())
        ),
    )


def preset_count() -> str:
    """How many presets the vendor itself vouches for, how many only others, and how many nobody."""
    kinds = [set(block["sources"]) for block in presets().values()]
    own = sum(bool(kind & {"vendor", "sdk"}) for kind in kinds)
    nobody = kinds.count(set())
    others = len(kinds) - own - nobody
    return (
        f"Of {len(kinds)} presets {own} were held against the vendor's own pages or library, {others} only against "
        f"others who call or quote the vendor, and for {nobody} nothing was found.\n"
    )


def _variables(block: Mapping[str, Any]) -> str:
    names = block.get("credential_env")
    return code(names).replace(", ", " or ") if names else "none needed"


def _formats(dialects: Iterable[str]) -> str:
    return ", ".join(name.partition(".")[2] for name in dialects)


def _sources(block: Mapping[str, Any]) -> str:
    """The vendor's pages as links, named by their host; then libraries; then others."""
    found = {kind: [one] if isinstance(one, str) else one for kind, one in block["sources"].items()}
    said = [_page(page) for page in found.get("vendor", ())]
    said += [f"its `{library}`" for library in found.get("sdk", ())]
    if others := found.get("others"):
        said.append(f"others: {', '.join(others)}")
    return "; ".join(said) or "nothing"


def _page(page: str) -> str:
    host, _, path = page.partition("/")
    return f"[{host}](https://{page})" if path or "." in host else page


def _unconfirmed(block: Mapping[str, Any]) -> str:
    return str(block.get("unconfirmed", "")).replace("|", "\\|")


def _note(block: Mapping[str, Any]) -> str:
    # The first words of a note say where it comes from; what follows is for users.
    note = str(block.get("note", "")).partition(";")[2].strip()
    return note.replace("|", "\\|")


# --- routing ---


def cause_table() -> str:
    """What each way of failing permits, from the table the gateway decides by."""
    rows = []
    for cause, rule in RULES.items():
        again = "no"
        if rule.again:
            again = "once; alone `retry.count` times"
        elif rule.alone:
            again = "only alone, `retry.count` times"
        harm = {0.0: "-", 0.5: "half"}.get(rule.harm, "yes")
        rows.append(
            (
                f"`{cause}`",
                MEANINGS[cause],
                again,
                "yes" if rule.key else "-",
                "yes" if rule.sibling else "no",
                FALLBACKS.get(cause, "yes" if rule.fallback else "no"),
                harm,
                "1" if rule.worked else "-",
            )
        )
    head = (
        "cause",
        "what happened",
        "same deployment again",
        "another credential",
        "another deployment",
        "another model",
        "counts as a failure",
        "retry budget",
    )
    return table(head, rows)


MEANINGS: Mapping[Cause, str] = {
    Cause.CONNECT: "no connection, or closed before an answer",
    Cause.UNTRANSLATABLE: "the request has no equivalent in the provider's format; nothing was sent",
    Cause.VETOED: "a [hook](hooks.md) keeps this request from the deployment; nothing was sent",
    Cause.STALE: "a pooled connection was closed, twice in a row",
    Cause.TLS: "the certificate was not accepted",
    Cause.TIMEOUT_CONNECT: "no connection in time",
    Cause.POOL: "`max_connections` are all busy",
    Cause.TIMEOUT_TTFT: "no first content in time",
    Cause.TIMEOUT_IDLE: "silence in mid-answer",
    Cause.TIMEOUT_TOTAL: "the whole answer took too long",
    Cause.MISMATCH: "asked to [go on](continuation.md) with an answer, it said something else",
    Cause.DEADLINE: "the time that the client gave is over",
    Cause.RATE_LIMIT: "429",
    Cause.AUTH: "401, 403",
    Cause.QUOTA: "402, or the account is out of quota",
    Cause.NOT_FOUND: "404, no such model there; 501, no such endpoint",
    Cause.CONTEXT: "the prompt is too long for the model",
    Cause.TOO_LARGE: "413",
    Cause.CONTENT: "a content filter refused",
    Cause.CLIENT: "any other 4xx",
    Cause.REDIRECT: "3xx; never followed",
    Cause.SERVER: "any other 5xx, 529, 408; 409 with a time to come back",
    Cause.EMPTY: "a 200 with nothing in it",
    Cause.MALFORMED: "not HTTP, not JSON, not events",
    Cause.TRUNCATED: "broken off before the first content",
    Cause.LOCAL: "our own mistake",
    Cause.FULL: "a [limit](limits.md) set here for the deployment or the credential; nothing was sent",
}
"""In words, for people."""

FALLBACKS: Mapping[Cause, str] = {
    Cause.CONTEXT: "`fallbacks_context`, else `fallbacks`",
    Cause.TOO_LARGE: "`fallbacks_context` only",
    Cause.CONTENT: "`fallbacks_content` only",
}


# --- errors ---


def error_table() -> str:
    """Every error of our own, with its words in each family."""
    return table(
        ("ref", "HTTP", "OpenAI `type` / `code`", "Anthropic `type`", "Gemini `status`", "besides"),
        (
            (
                f"`{ref}`",
                str(row.status),
                f"`{row.type}` / `{row.code}`",
                f"`{row.anthropic_type}`"
                + (f" ({row.anthropic_status})" if row.anthropic_status else ""),
                f"`{row.google_status}`",
                _besides(ref),
            )
            for ref, row in ERRORS.items()
        ),
        right=[1],
    )


def _besides(ref: str) -> str:
    row = ERRORS[ref]
    _, headers, _ = FAMILIES["openai"](ProxyError(ref), "")
    shown = [f"`{name.decode()}: {value.decode()}`" for name, value in headers[1:]]
    return ", ".join([*shown, *(["closes"] if row.close else [])])


def error_bodies() -> str:
    """The three bodies of every error, as they are sent."""
    lines = []
    for ref in ERRORS:
        error = ProxyError(ref)
        for family, render in FAMILIES.items():
            status, _, body = render(error, "REQUEST-ID")
            lines.append(f"{ref:10} {family:9} {status} {body.decode()}")
    return "```text\n" + "\n".join(lines) + "\n```\n"


def cut_table() -> str:
    """How a stream that breaks off after its first content is told to the client."""
    return table(
        ("code", "message", "metric `reason`"),
        ((f"`{code}`", message, f"`{end}`") for end, (code, message) in BROKEN.items()),
    )


def cut_events() -> str:
    """The same event in every dialect that streams."""
    code, message = BROKEN[End.TRUNCATED]
    parts = []
    for name in ("openai.chat", "openai.responses", "anthropic.messages", "gemini.generate"):
        event = DIALECTS[name].render_stream_error(code, message, "REQUEST-ID", 7)
        parts.append(f"{name}\n\n{event.decode().strip()}\n")
    return "```text\n" + "\n".join(parts) + "```\n"


# --- translation ---

COLUMNS = {
    "openai.chat": "chat",
    "openai.responses": "Responses",
    "anthropic.messages": "Messages",
    "gemini.generate": "Gemini",
    "bedrock.converse": "Converse",
}


def feature_table() -> str:
    """Every feature of `loss.FEATURES`, as each dialect says that it spells it."""
    codecs = [DIALECTS[name].codec for name in COLUMNS]
    fields = [codec.fields if codec is not None else {} for codec in codecs]
    rows = (
        (f"`{feature}`", meaning, *(_spelling(one.get(feature, "")) for one in fields))
        for feature, meaning in FEATURES.items()
        if feature not in ("opaque", "unknown")
    )
    return table(("`field`", "", *COLUMNS.values()), rows)


def _spelling(text: str) -> str:
    return text.replace("|", "\\|")


# --- the admin API ---


def role_table() -> str:
    """What each role may."""
    return table(
        ("role", *(f"`{permission}`" for permission in Permission if permission is not _PUBLIC)),
        (
            (
                f"`{role}`",
                *(
                    "yes" if permission in GRANTS[role] else ""
                    for permission in Permission
                    if permission is not _PUBLIC
                ),
            )
            for role in Role
        ),
    )


# --- capacity ---


def capacity_table() -> str:
    """What three sizes take, by the published figures."""
    head, rows = capacity_report.table(capacity.published())
    return table(head, rows, range(1, len(head)))


def trouble_table() -> str:
    """What a fleet does when it is in trouble."""
    head, rows = capacity_report.trouble_table(capacity_report.troubles(capacity.published()))
    return table(head, rows, range(1, len(head)))


PARTS: Mapping[str, Callable[[], str]] = {
    "presets": preset_table,
    "vouched": preset_count,
    "causes": cause_table,
    "errors": error_table,
    "bodies": error_bodies,
    "cuts": cut_table,
    "events": cut_events,
    "cost": figures.cost_table,
    "run": figures.run_table,
    "others": figures.others_table,
    "itself": figures.itself_table,
    "tools": figures.tools_table,
    "goals": figures.goals_table,
    "phases": figures.phases_table,
    "features": feature_table,
    "tls": figures.sealed_table,
    "translation": figures.translation_table,
    "roles": role_table,
    "capacity": capacity_table,
    "trouble": trouble_table,
}


def main(arguments: Sequence[str]) -> None:
    """Write all parts anew."""
    for file in arguments:
        figures.publish(Path(file))
    for page in PAGES:
        for name in generated(page):
            replace_generated(page, name, PARTS[name]())


if __name__ == "__main__":
    main(sys.argv[1:])
