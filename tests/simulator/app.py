"""The service as a web application: HTTP in and out."""

import asyncio
import time
from email.utils import formatdate

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.simulator.answers import Answer
from tests.simulator.incoming import PATHS, Incoming, read_body
from tests.simulator.service import Simulator


class _CutResponse(Response):
    """Announces the complete body and sends a part; the server then closes the connection."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.body, answer.status, answer.headers)
        self._sent = answer.body[: answer.cut_at]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        await send(start)
        await send({"type": "http.response.body", "body": self._sent, "more_body": True})


def application(simulator: Simulator) -> Starlette:
    """The ASGI application of a simulator: POST on its four paths, 404 and 405 for everything else."""

    async def serve(request: Request) -> Response:
        return await respond(simulator.answer(await read(request)))

    async def refuse(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return await respond(simulator.refuse(await read(request), status))

    async def read(request: Request) -> Incoming:
        raw = await request.body()
        signed = request.headers.get("authorization", "").startswith("MC ")
        body = read_body(raw, python_too=signed and simulator.switches.v1_python_bodies)
        base_url = str(request.base_url).rstrip("/")
        return Incoming(request.url.path, dict(request.headers), raw, body, base_url)

    async def respond(answer: Answer) -> Response:
        if answer.delay:
            await asyncio.sleep(answer.delay)
        answer.headers["date"] = formatdate(time.time() + simulator.switches.server_time_offset, usegmt=True)
        if answer.cut_at is not None:
            return _CutResponse(answer)
        return Response(answer.body, answer.status, answer.headers)

    return Starlette(
        routes=[Route(path, serve, methods=["POST"]) for path in PATHS],
        exception_handlers={404: refuse, 405: refuse},
    )
