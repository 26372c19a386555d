from __future__ import annotations

import pytest

from proxy.core.url import join


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
