"""Configurations of other programs, read as ours: recognised by what is in them.

    reading      whose a text is, and the text in our words       converting  programs whose files are converted once
    source       values that remember where they were written     tree        ours, as a document and as text
    dotenv       .env files                                       jsonc       JSON, also with comments
    double_underscore  variables over a file, as in .NET          access      one port, and who is asked
    database     where they keep things                           vendors     words for providers
    pool         providers, each with a name                      common      what several say alike

and a module for each program. Everything that has no place here is named: as a warning, or as an error where running
without it would mislead.
"""

from __future__ import annotations

from proxy.core.config.foreign.reading import (
    FILES,
    FROM_ENVIRONMENT,
    WORDS,
    Foreign,
    from_environment,
    is_in,
    read,
    read_as,
)

__all__ = [
    "FILES",
    "FROM_ENVIRONMENT",
    "WORDS",
    "Foreign",
    "from_environment",
    "is_in",
    "read",
    "read_as",
]
