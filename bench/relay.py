"""The least that a proxy on aiohttp can be: a handler, one `ClientSession`, every chunk written as it comes. No features.

`python -m bench.relay PORT UPSTREAM`: what Headrace is made of, to be measured beside it.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import aiohttp
import uvloop
from aiohttp import web
from aiohttp.web_request import BaseRequest

HOP = frozenset({"connection", "content-length", "host", "keep-alive", "transfer-encoding"})
BODY = 64 << 20
"""Bytes of a request."""


async def serve(port: int, upstream: str) -> None:
    """Until the process ends."""
    connector = aiohttp.TCPConnector(limit=0, limit_per_host=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False) as session:

        async def handle(request: BaseRequest) -> web.StreamResponse:
            body = await request.read()
            sent = {
                name: value for name, value in request.headers.items() if name.lower() not in HOP
            }
            url = upstream + request.raw_path
            async with session.request(request.method, url, data=body, headers=sent) as found:
                kept = {
                    name: value for name, value in found.headers.items() if name.lower() not in HOP
                }
                answer = web.StreamResponse(status=found.status, headers=kept)
                await answer.prepare(request)
                async for chunk in found.content.iter_any():
                    await answer.write(chunk)
                await answer.write_eof()
                return answer

        loop = asyncio.get_running_loop()

        def request(*parts: Any) -> BaseRequest:
            message, payload, protocol, writer, task = parts
            return BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=BODY)

        server = web.Server(handle, access_log=None, request_factory=request)
        await loop.create_server(server, "127.0.0.1", port, backlog=4096)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), sys.argv[2]))
