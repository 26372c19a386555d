"""The files that come with the program are found from a checkout and from a wheel."""

from __future__ import annotations

from pathlib import Path

from proxy.core import paths


def test_presets_are_beside_the_package_in_a_checkout() -> None:
    root = Path(__file__).parents[2]

    assert root / "conf" / "providers.yaml" == paths.PRESETS


def test_conf_inside_the_package_wins(tmp_path: Path) -> None:
    package = tmp_path / "site" / "proxy"
    (package / "conf").mkdir(parents=True)
    (tmp_path / "site" / "conf").mkdir()

    assert paths.find_conf(package) == package / "conf"


def test_conf_beside_the_package_is_used_when_there_is_none_inside(tmp_path: Path) -> None:
    assert paths.find_conf(tmp_path / "proxy") == tmp_path / "conf"
