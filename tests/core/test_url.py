from __future__ import annotations

import pytest

from proxy.core.url import join, login_encoded, masked, sqlite_file, variant


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///a/b.db", "a/b.db"),
        ("sqlite:////a%20b#c/d.db", "/a b#c/d.db"),
        ("sqlite:///", ""),
        ("sqlite://a.db", ""),
        ("sqlite:///:memory:", ""),
        ("sqlite:///a.db?mode=rw", ""),
        ("sqlite://[a", ""),
    ],
)
def test_a_file_of_sqlite_is_named_in_one_way(url: str, path: str) -> None:
    assert sqlite_file(url) == path


@pytest.mark.parametrize(
    ("base", "root", "whole"),
    [
        ("https://a.example", "/v1/chat/completions", "https://a.example/v1/chat/completions"),
        ("https://a.example/", "/v1/chat/completions", "https://a.example/v1/chat/completions"),
        ("https://a.example/v1", "/v1/chat/completions", "https://a.example/v1/chat/completions"),
        ("https://a.example/x/v1", "/v1/messages", "https://a.example/x/v1/messages"),
        ("https://a.example/v1beta", "/v1beta/models", "https://a.example/v1beta/models"),
        ("https://a.example/v1", "/v1beta/models", "https://a.example/v1/v1beta/models"),
        (
            "https://a.example/api/v3",
            "/chat/completions",
            "https://a.example/api/v3/chat/completions",
        ),
        ("http://127.0.0.1:9100", "/v1/models", "http://127.0.0.1:9100/v1/models"),
    ],
)
def test_a_version_both_name_stands_once(base: str, root: str, whole: str) -> None:
    assert join(base, root) == whole


@pytest.mark.parametrize(
    ("root", "whole", "streamed"),
    [
        ("/v1/chat", "/v1/chat", "/v1/chat"),
        (
            "/{model}:{rawPredict|streamRawPredict}",
            "/{model}:rawPredict",
            "/{model}:streamRawPredict",
        ),
        ("/{a|b}/{c|d}", "/a/c", "/b/d"),
        ("/a|b", "/a|b", "/a|b"),
    ],
)
def test_a_path_may_say_whether_the_answer_is_streamed(
    root: str, whole: str, streamed: str
) -> None:
    assert variant(root, streamed=False) == whole
    assert variant(root, streamed=True) == streamed


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://u:p@h:6379/0", "redis://***@h:6379/0"),
        ("redis://:p@/w@h", "redis://***@h"),
        ("redis://h/0?password=p&db=1", "redis://h/0?***"),
        ("redis://h/0?password=p@w", "redis://***"),
        ("redis://:p?w@h", "redis://***"),
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        ("p@ssword", "***"),
    ],
)
def test_what_of_a_url_may_be_shown(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://u:p@h:6379/0", "redis://u:p@h:6379/0"),
        ("redis://:p@/#w:[ü]@h/0", "redis://:p%40%2F%23w:%5B%C3%BC%5D@h/0"),
        ("redis://:p?w@h/0?db=1", "redis://:p%3Fw@h/0?db=1"),
        ("redis://:p%40w%@h", "redis://:p%40w%@h"),
        ("redis://h/0?password=p@w", "redis://h/0?password=p@w"),
        ("unix:///run/a@b/x.sock?db=1", "unix:///run/a@b/x.sock?db=1"),
        ("postgresql://me:a-river@a:1,b:2/n", "postgresql://me:a-river@a:1,b:2/n"),
        ("none", "none"),
        ("", ""),
    ],
)
def test_a_password_as_it_was_pasted_is_no_other_part_of_a_url(url: str, readable: str) -> None:
    assert login_encoded(url) == readable
