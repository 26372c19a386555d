"""What this dialect is said to have, it has."""

from __future__ import annotations

import orjson
import pytest

from proxy.dialects import ir
from proxy.dialects.gemini.fields import FIELDS
from proxy.dialects.gemini.names import FAMILY
from proxy.dialects.loss import FEATURES
from proxy.dialects.survey import features
from tests.dialects.contents import asked, parse, rendered, said

MEDIA = {
    f"{kind}.{source}": ir.Media(kind, mime, **{attribute: value})  # type: ignore[arg-type]
    for kind, mime in (
        ("image", "image/png"),
        ("document", "application/pdf"),
        ("audio", "audio/wav"),
        ("video", "video/mp4"),
    )
    for source, attribute, value in (
        ("data", "data", "AAAA"),
        ("url", "url", "https://example.com/x"),
        ("file", "file_id", "gs://b/x"),
    )
}
for _name, _media in MEDIA.items():
    if _name.endswith(".file"):
        _media.origin = FAMILY

CALL = ir.ToolCall("c", "f", "{}", signature="c2ln", origin=FAMILY)
RESULT = ir.ToolResult(
    "c",
    "f",
    [ir.Media("image", "image/png", "AAAA"), ir.Media("document", "application/pdf", "AAAA")],
)
REQUESTS = [
    asked(
        said("s", "system"),
        ir.Message(
            "user",
            [
                *MEDIA.values(),
                ir.Media("document", "text/plain", text="words"),
                ir.Media("image", "image/png", "AAAA", detail="high"),
            ],
        ),
        ir.Message(
            "assistant",
            [
                ir.Reasoning("t", "c2ln", FAMILY),
                ir.Text("x", signature="c2ln", origin=FAMILY),
                CALL,
            ],
        ),
        ir.Message("user", [RESULT]),
        said("p", "assistant"),
        tools=[ir.Tool("f"), ir.Tool("g"), *(ir.ServerTool("x", kind) for kind in ("web_search", "web_fetch", "code_execution"))],
        tool_choice=ir.ToolChoice("none"),
        thinking=ir.Thinking("low", visible=True),
        format=ir.Format("json"),
        max_tokens=1,
        temperature=1,
        top_p=1,
        top_k=1,
        stop=["x"],
        seed=1,
        presence_penalty=1,
        frequency_penalty=1,
        logprobs=True,
        top_logprobs=1,
        n=2,
        modalities=["image"],
        metadata={"a": "b"},
        service_tier="flex",
    ),
    asked(
        said("Hi"),
        ir.Message("assistant", [CALL]),
        ir.Message("user", [ir.ToolResult("c", "f", [ir.Text("no")], is_error=True)]),
        tools=[ir.Tool("f")],
        tool_choice=ir.ToolChoice("required"),
        thinking=ir.Thinking(budget=5),
        format=ir.Format("schema", schema={"type": "object"}),
    ),
    asked(tools=[ir.Tool("f")], tool_choice=ir.ToolChoice("tool", ["f"]), thinking=ir.Thinking("none")),
    asked(tools=[ir.Tool("f"), ir.Tool("g")], tool_choice=ir.ToolChoice("allowed", ["f", "g"])),
]  # fmt: skip


def survived(request: ir.Request, model: str) -> set[str]:
    body, _ = rendered(request, model)
    again = parse(orjson.dumps(body))
    found = {feature for feature, _ in features(again, "nobody")}
    return {name for name in found if name != "unknown"}


def test_every_feature_named_survives_the_journey() -> None:
    found = {
        name
        for model in ("unnamed", "gemini-3-flash")
        for request in REQUESTS
        for name in survived(request, model)
    }

    # Free text comes back as a function, and a schema is always followed: nobody says so.
    assert set(FIELDS) - {"tool.custom", "format.strict"} <= found


@pytest.mark.parametrize("feature", FIELDS)
def test_every_name_is_a_feature(feature: str) -> None:
    assert feature in FEATURES
