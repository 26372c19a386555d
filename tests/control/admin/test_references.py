"""Who names whom."""

from __future__ import annotations

import orjson

from proxy.control.admin.overlay import Overlay
from proxy.control.admin.references import names, to
from proxy.core.records import Kind, Record
from proxy.state.mirror import Mirror


def record(kind: Kind, id: int, name: str = "", parent: int = 0, **spec: object) -> Record:
    return Record(kind, id, id, name, parent, orjson.dumps(spec))


def seen() -> Overlay:
    mirror = Mirror()
    mirror.apply(
        [
            record(Kind.PROVIDER, 1, "p"),
            record(Kind.MODEL, 2, "m", aliases=["n"], fallbacks=["m"]),
            record(Kind.MODEL, 3, "other", fallbacks=["x", "n"], fallbacks_content=["m"]),
            record(Kind.MODEL, 7, "mixed", models=["n", "x"]),
            record(Kind.DEPLOYMENT, 4, parent=2, provider="p"),
            record(Kind.DEPLOYMENT, 5, parent=9, provider="p"),
            record(Kind.DEPLOYMENT, 6, parent=2, provider="q"),
        ]
    )
    return Overlay(mirror)


def test_deployments_name_their_provider() -> None:
    found = list(to(seen(), Kind.PROVIDER, frozenset({"p"})))

    assert [one.says for one in found] == ["deployment 4 of model 'm'", "deployment 5"]


def test_fallbacks_name_models_by_any_of_their_names_and_no_model_counts_for_itself() -> None:
    overlay = seen()
    model = overlay.by_name(Kind.MODEL, "m")
    assert model is not None
    gone = names(model, overlay.spec(model))

    found = [one.says for one in to(overlay, Kind.MODEL, gone, but=model.id)]

    assert gone == {"m", "n"}
    assert found == [
        "fallbacks of model 'other'",
        "fallbacks_content of model 'other'",
        "models of model 'mixed'",
    ]


def test_nobody_names_a_key() -> None:
    assert list(to(seen(), Kind.KEY, frozenset({"m", "p"}))) == []


WILD = [
    record(Kind.MODEL, 1, "wild/*", aliases=["w*"]),
    record(Kind.MODEL, 2, "wild/own"),
    record(Kind.MODEL, 3, "other", fallbacks=["wild/x", "wild/own", "w2", "filed"]),
]


def test_a_fallback_that_only_a_wildcard_reaches_names_the_wildcard() -> None:
    mirror = Mirror()
    mirror.apply(WILD)

    [found] = to(Overlay(mirror), Kind.MODEL, frozenset({"wild/*", "w*"}), but=1)

    assert found.says == "fallbacks of model 'other'"
    assert found.named == {"wild/x", "w2"}


def test_what_another_pattern_reaches_too_is_not_lost() -> None:
    mirror = Mirror()
    mirror.apply(WILD)

    [found] = to(Overlay(mirror), Kind.MODEL, frozenset({"wild/*", "w*"}), but=1, others={"wild*"})

    assert found.named == {"w2"}
