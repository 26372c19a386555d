"""Files that come with the program, wherever it runs from.

In a checkout `conf/` stands beside `proxy/`; the wheel carries it inside the package.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def find_conf(package: Path) -> Path:
    """The folder of the files that come with `package`."""
    inside = package / "conf"
    return inside if inside.is_dir() else package.parent / "conf"


CONF = find_conf(PACKAGE)
PRESETS = CONF / "providers.yaml"
