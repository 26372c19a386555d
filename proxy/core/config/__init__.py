"""Configuration: from a YAML file to checked values, with every problem named by its line.

    document     YAML with lines and columns            references   ${ENV}, file:…
    sources      secret:…, from elsewhere
    presets      what is known of vendors
    schema       the sections and fields                usage        those of limits, prices and the ledger
    fields       what both are written in               explain      the schema's errors in words
    checks       errors that span several values        remarks      warnings
    loading      the order of all that                  report       check, schema
    foreign      configurations of other programs

Nothing on the data path imports this package: it brings pydantic and PyYAML. `proxy.state.snapshot` compiles a
`Config` into plain values.
"""

from __future__ import annotations

from proxy.core.config.loading import Loaded, load, parse
from proxy.core.config.problem import ConfigError, Problem
from proxy.core.config.schema import Config

__all__ = ["Config", "ConfigError", "Loaded", "Problem", "load", "parse"]
