from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.gateway.endpoints import allowed, family_of, is_spelled_out, match, other, paths


@pytest.mark.parametrize(
    ("method", "path", "route", "dialect"),
    [
        ("POST", "/v1/chat/completions", "/v1/chat/completions", "openai.chat"),
        ("POST", "/chat/completions", "/v1/chat/completions", "openai.chat"),
        ("POST", "/openai/v1/chat/completions", "/v1/chat/completions", "openai.chat"),
        ("POST", "/v1/completions", "/v1/completions", "openai.completions"),
        ("POST", "/v1/responses", "/v1/responses", "openai.responses"),
        ("GET", "/v1/responses/resp_1", "/v1/responses/{id}", "openai.responses"),
        ("DELETE", "/v1/responses/resp_1", "/v1/responses/{id}", "openai.responses"),
        ("POST", "/v1/embeddings", "/v1/embeddings", "openai.embeddings"),
        ("POST", "/v1/images/generations", "/v1/images/generations", "openai.images"),
        ("POST", "/v1/images/edits", "/v1/images/edits", "openai.images"),
        ("POST", "/v1/audio/speech", "/v1/audio/speech", "openai.audio"),
        ("POST", "/v1/audio/transcriptions", "/v1/audio/transcriptions", "openai.audio"),
        ("POST", "/v1/audio/translations", "/v1/audio/translations", "openai.audio"),
        ("POST", "/v1/moderations", "/v1/moderations", "openai.moderations"),
        ("POST", "/v1/rerank", "/v1/rerank", "openai.rerank"),
        ("POST", "/v1/messages", "/v1/messages", "anthropic.messages"),
        ("POST", "/anthropic/v1/messages", "/v1/messages", "anthropic.messages"),
        ("POST", "/v1/messages/count_tokens", "/v1/messages/count_tokens", "anthropic.messages"),
        ("GET", "/v1/models", "/v1/models", "openai.chat"),
        ("GET", "/models", "/v1/models", "openai.chat"),
    ],
)
def test_every_path_of_the_route_table_has_its_endpoint(
    method: str, path: str, route: str, dialect: str
) -> None:
    found = match(method, path)

    assert found is not None
    assert (found[0].route, found[0].dialect) == (route, dialect)


@pytest.mark.parametrize(
    ("path", "verb", "model", "stream"),
    [
        (
            "/v1beta/models/gemini-2.5-pro:generateContent",
            "generateContent",
            "gemini-2.5-pro",
            False,
        ),
        ("/v1/models/g:streamGenerateContent", "streamGenerateContent", "g", True),
        ("/v1beta/models/a%2Fb%20c:countTokens", "countTokens", "a/b c", False),
        ("/v1beta/models/claude-v1:0:generateContent", "generateContent", "claude-v1:0", False),
        ("/v1beta/models/llama%3A8b:countTokens", "countTokens", "llama:8b", False),
    ],
)
def test_a_gemini_path_names_its_model(path: str, verb: str, model: str, stream: bool) -> None:
    found = match("POST", path)

    assert found is not None
    assert found[0].suffix == f"/{{model}}:{verb}"
    assert found[1]["model"] == model
    assert found[0].stream is stream


def test_a_model_id_may_hold_slashes_and_spaces() -> None:
    found = match("GET", "/v1/models/openai/gpt%204")

    assert found is not None
    assert found[1] == {"model": "openai/gpt 4"}


@pytest.mark.parametrize(
    "root", ["/v1beta", "/v1alpha", "/gemini/v1beta", "/gemini/v1alpha", "/gemini/v1"]
)
def test_google_lists_models_wherever_it_is_asked_for_answers(root: str) -> None:
    assert match("POST", f"{root}/models/g:generateContent") is not None
    for path, route in (("", "/v1beta/models"), ("/g", "/v1beta/models/{model}")):
        found = match("GET", f"{root}/models{path}")

        assert found is not None
        assert (found[0].route, found[0].family) == (route, "gemini")


@pytest.mark.parametrize("path", ["/v1/models/llama:latest", "/v1beta/models/llama:latest"])
def test_a_model_id_may_hold_colons(path: str) -> None:
    found = match("GET", path)

    assert found is not None
    assert found[1] == {"model": "llama:latest"}


def test_a_verb_nobody_knows_is_not_there() -> None:
    assert match("POST", "/v1beta/models/gemini-2.5-pro:dance") is None


def test_the_azure_path_carries_the_model() -> None:
    found = match("POST", "/openai/deployments/my-gpt/chat/completions")

    assert found is not None
    assert found[0].route == "/v1/chat/completions"
    assert found[0].model_in_path
    assert found[1] == {"model": "my-gpt"}


@pytest.mark.parametrize(
    ("path", "route", "model"),
    [
        ("a%2Fb%20c:0/embeddings", "/v1/embeddings", "a/b c:0"),
        ("a/b/chat/completions", "/v1/chat/completions", "a/b"),
        ("a/chat/completions", "/v1/chat/completions", "a"),
        ("a/completions", "/v1/completions", "a"),
        ("chat/completions", "/v1/completions", "chat"),
    ],
)
def test_a_deployments_name_may_hold_slashes(path: str, route: str, model: str) -> None:
    found = match("POST", "/openai/deployments/" + path)

    assert found is not None
    assert (found[0].route, found[1]) == (route, {"model": model})


@pytest.mark.parametrize("tail", ["", "/", "m", "m/nothing", "m/chat/completions/", "/completions"])
def test_other_paths_of_deployments_are_nothing(tail: str) -> None:
    path = "/openai/deployments/" + tail

    assert (match("POST", path), allowed(path), other("POST", path)) == (None, [], None)


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", "/openai/responses", "/v1/responses"),
        ("GET", "/openai/responses/resp_1", "/v1/responses/{id}"),
        ("GET", "/openai/models", "/v1/models"),
        ("GET", "/openai/models/a%2Fb", "/v1/models/{model}"),
    ],
)
def test_azures_other_paths_have_no_version(method: str, path: str, route: str) -> None:
    found = match(method, path)

    assert found is not None
    assert found[0].route == route


def test_what_azure_has_besides_is_asked_for_without_a_version() -> None:
    found = other("GET", "/openai/files/file-1")

    assert found is not None
    assert found[1] == {"id": "files/file-1"}


@pytest.mark.parametrize(
    "path",
    [
        "//v1/chat/completions",
        "/v1//chat/completions",
        "/v1/../admin/keys",
        "/v1/./chat/completions",
        "/v1/models/a/../../admin",
        "/v1/models/%2e%2e/admin",
        "/v1%2fchat/completions",
        "/v1\\chat\\completions",
        "/v1/models/x%00y",
        "/v1/chat/completions;x=1",
        "/V1/chat/completions",
        "/v1/chat/completions/",
        "http://evil/v1/chat/completions",
        "/openai/deployments/a%2f%2e%2e/chat/completions",
        "/openai/deployments/a/../chat/completions",
        "/openai%2fdeployments/a/chat/completions",
    ],
)
def test_a_path_that_could_mean_two_things_is_nothing(path: str) -> None:
    assert match("POST", path) is None
    assert match("GET", path) is None


@pytest.mark.parametrize(
    "path",
    [
        "files/../x",
        "files/%2e%2e/x",
        "files/.%2e/x",
        "files/%2E./x",
        "files/%2e/x",
        ".%2e",
        "a/%2E",
    ],
)
def test_no_step_of_a_path_that_is_passed_on_leads_back(path: str) -> None:
    for beginning in ("/v1/", "/openai/v1/", "/openai/"):
        assert other("GET", beginning + path) is None


def test_a_dot_that_is_no_step_by_itself_passes() -> None:
    for path in ("files/a.b", "files/.a", "files/a%2e", "files/..."):
        assert other("GET", f"/v1/{path}") is not None


def test_another_method_is_told_apart_from_nothing() -> None:
    assert match("GET", "/v1/chat/completions") is None
    assert allowed("/v1/chat/completions") == ["POST"]
    assert allowed("/v1/responses/resp_1") == ["DELETE", "GET"]
    assert allowed("/nowhere") == []


def test_a_path_of_ours_is_spelled_out_or_looks_like_one() -> None:
    assert is_spelled_out("/v1/chat/completions")
    assert not is_spelled_out("/v1/responses/compact")


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/v1/messages", "anthropic"),
        ("/anthropic/v1/anything", "anthropic"),
        ("/v1beta/anything", "gemini"),
        ("/v1alpha/anything", "gemini"),
        ("/v1/models/g:generateContent", "gemini"),
        ("/v1/chat/completions", "openai"),
        ("/nonsense", "openai"),
    ],
)
def test_errors_take_the_shape_of_their_path(path: str, family: str) -> None:
    assert family_of(path) == family


def test_the_list_for_people_names_each_route_once() -> None:
    listed = paths()

    assert len(listed) == len(set(listed))
    assert "POST /v1/chat/completions" in listed
    assert "POST /openai/deployments/{model}/chat/completions" in listed


@given(st.text(max_size=200))
def test_no_path_breaks_the_matcher(path: str) -> None:
    found = match("POST", "/" + path)

    assert found is None or found[0].method == "POST"
