"""PyPI's python-socketio as a client, on asyncio and on threads."""

from __future__ import annotations

import asyncio
import queue

import socketio

from tests.support.server import reading


async def test_asyncio_client_gets_readings_and_answers(organization):
    client, arrived = socketio.AsyncClient(), asyncio.Queue()
    client.on("sensor:readings:batch", arrived.put)
    await client.connect(organization.server.url, auth={"token": organization.viewer_token}, transports=["websocket"])
    try:
        [reading_id] = (await asyncio.to_thread(organization.post, reading("unit-1"))).json()["readingIds"]
        batch = await asyncio.wait_for(arrived.get(), 30)
        assert [item["id"] for item in batch["readings"]] == [reading_id]
        assert (await client.call("get:latest", "unit-1"))["id"] == reading_id
        assert await client.call("get:latest", "nobodys") is None
    finally:
        await client.disconnect()


def test_threaded_client_gets_readings_and_answers(organization):
    client, arrived = socketio.Client(), queue.Queue()
    client.on("sensor:readings:batch", arrived.put)
    client.connect(organization.server.url, auth={"token": organization.viewer_token}, transports=["websocket"])
    try:
        [reading_id] = organization.post(reading("unit-1")).json()["readingIds"]
        assert [item["id"] for item in arrived.get(timeout=30)["readings"]] == [reading_id]
        assert client.call("get:latest", "unit-1")["id"] == reading_id
    finally:
        client.disconnect()
