from __future__ import annotations

from bench.crowd import MASTER, MODELS, PROVIDERS, Size, fill
from proxy.core.config import parse
from proxy.core.records import Kind
from proxy.core.secret import Secret
from proxy.core.vault import Vault
from proxy.core.virtual_key import digest
from proxy.state.compiler import Compiler
from proxy.state.mirror import Mirror
from proxy.store import delta, peppers
from proxy.store.opening import open_store

SIZE = Size(keys=20, deployments=30)


async def test_a_store_that_was_filled_is_one_that_a_worker_serves(store_url: str) -> None:
    made = await fill(store_url, SIZE, "http://127.0.0.1:9")

    store, vault = open_store(store_url), Vault([Secret(MASTER)])
    try:
        await store.open()
        found = await delta.read(store, delta.NEVER)
        (pepper,), _ = peppers.opened(await peppers.rows(store), vault)
    finally:
        await store.close()
    mirror = Mirror()
    mirror.apply(found.records)
    every = frozenset(str(kind) for kind in Kind)
    compiled = Compiler().compile(parse("{}").config, mirror, every, vault, (pepper,))

    assert compiled.problems == ()
    assert len(compiled.snapshot.providers) == PROVIDERS
    assert len(mirror.records[Kind.DEPLOYMENT]) == SIZE.deployments + 1
    assert len(mirror.records[Kind.MODEL]) == MODELS + 1
    assert all(digest(key, pepper) in compiled.snapshot.keys for key in made.keys)
    assert len(made.keys) == SIZE.keys
    assert found.revision == len(made.records)
