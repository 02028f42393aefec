"""The ASGI lifespan starts and stops the server around the application it is embedded in."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import Any

import pytest
from starlette.applications import Starlette

from sensorcast.transport.lifespan import Asgi, with_lifespan
from tests.transport.asgi import Request, not_found


class Recorded:
    """A server and what happened in order, driven as uvicorn drives the lifespan."""

    def __init__(self, app: Asgi, *, forward: bool = True) -> None:
        self.order: list[str] = []
        self.app = with_lifespan(app, self, forward=forward)
        self._events = iter(["lifespan.startup", "lifespan.shutdown"])

    async def __aenter__(self) -> None:
        self.order.append("server starts")

    async def __aexit__(self, *_error: object) -> None:
        self.order.append("server stops")

    async def receive(self) -> dict[str, Any]:
        return {"type": next(self._events)}

    async def send(self, event: Any) -> None:
        self.order.append(event["type"])

    async def live(self) -> list[str]:
        async with asyncio.timeout(30):
            await self.app({"type": "lifespan"}, self.receive, self.send)
        return self.order


ALONE = ["server starts", "lifespan.startup.complete", "server stops", "lifespan.shutdown.complete"]


async def test_alone_the_server_lives_as_long_as_the_process() -> None:
    assert await Recorded(not_found, forward=False).live() == ALONE


async def test_the_server_starts_before_the_application_is_announced_and_stops_before_it_shuts_down() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        recorded.order.append("application starts")
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        recorded.order.append("application stops")
        await send({"type": "lifespan.shutdown.complete"})

    recorded = Recorded(app)
    assert await recorded.live() == [
        "server starts",
        "application starts",
        "lifespan.startup.complete",
        "server stops",
        "application stops",
        "lifespan.shutdown.complete",
    ]


@pytest.mark.parametrize("raises", [True, False])
async def test_an_application_without_lifespan_does_not_keep_the_server_from_living(raises: bool) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if raises:
            raise RuntimeError("only http here")

    assert await Recorded(app).live() == ALONE


async def test_an_application_that_fails_to_start_stops_the_server_again() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise RuntimeError("no database")

    recorded = Recorded(app)
    with pytest.raises(RuntimeError, match="no database"):
        await recorded.live()
    assert recorded.order == ["server starts", "server stops"]


async def test_everything_but_the_lifespan_goes_to_the_application() -> None:
    recorded = Recorded(not_found)
    assert (await Request("/x").run(recorded.app)).status == 404
    assert recorded.order == []


async def test_a_starlette_application_lives_inside_the_server() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> Any:
        recorded.order.append("application starts")
        yield
        recorded.order.append("application stops")

    recorded = Recorded(Starlette(lifespan=lifespan))
    order = [step for step in await recorded.live() if not step.startswith("lifespan.")]
    assert order == ["server starts", "application starts", "server stops", "application stops"]
