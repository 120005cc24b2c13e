"""All of it together: what is kept, what is lost, and a thousand at once."""

from __future__ import annotations

import asyncio
import os

import aiohttp

from tests.emulator.conftest import World
from tests.emulator.cumulocity.realtime.client import Device
from tests.emulator.cumulocity.running import Tenant
from tests.emulator.running import running_emulator, wait_for

SESSIONS = 1000 if os.environ.get("FULL") == "1" else 200
DEADLINE = aiohttp.ClientTimeout(total=30)


def test_templates_survive_the_end_of_the_emulator_and_sessions_do_not() -> None:
    with running_emulator() as emulator:
        tenant = Tenant(emulator)
        device = Device(tenant)
        id = device.register()
        device.begin("/alarms/*")
        tenant.alarm(tenant.devices[0])
        emulator.kill()
        emulator.again()
        assert device.ask("", "/c8y/s") == f"20,{id}"
        assert device.connect().rows() == [["86", "", "0", "handshake"]]
        (item,) = emulator.items()
        assert (item["state"], item["outcome"]) == ("dropped", "restart")
        tenant.end()


def test_spaces_and_ends_come_by_themselves_as_time_passes() -> None:
    knobs = ("EMU_SR_HEARTBEAT_S=0.1", "EMU_SR_TIMEOUT_MS=450", "EMU_SR_SESSION_IDLE_S=0.5")
    with running_emulator(*(part for knob in knobs for part in ("--knob", knob))) as emulator:
        tenant = Tenant(emulator)
        device = Device(tenant)
        device.register()
        device.client_id = device.ask("80")
        device.connect().rows()
        poll = device.connect()
        assert poll.rows() == [] and 1 <= len(poll.text) <= 4
        wait_for(lambda: emulator.control("/cumulocity/sessions")["items"] == [])
        assert device.connect().rows() == [["86", "", "0", "handshake"]]
        tenant.end()


def test_a_reset_forgets_sessions_and_templates(world: World, device: Device) -> None:
    device.begin("/alarms/*")
    world.emulator.control("/reset", {})
    assert device.ask("80").startswith("40,")
    assert world.emulator.control("/cumulocity/sessions")["items"] == []


def test_the_ledger_counts_rows_for_each_session(world: World, device: Device) -> None:
    first, second = device.begin("/alarms/*"), Device(device.tenant).begin("/alarms/*")
    world.publish(tenant="cumulocity/t123", topic="alarms", count=5)
    assert len(first.connect().rows()) == 5
    totals = world.emulator.ledger()
    assert (totals["published"], totals["acknowledged"], totals["pending"]) == (10, 5, 5)
    second.ask(f"84,{second.client_id}")
    totals = world.emulator.ledger()
    assert (totals["dropped"], totals["pending"]) == (5, 0)


def test_many_sessions_are_held_at_once(world: World, device: Device) -> None:
    """All of one user on one channel: the platform's limit is lifted for them."""
    world.turn(sr_max_conn=0)
    headers = {"Authorization": device.basic, "X-Id": device.x_id}
    url = world.emulator.url + device.path

    async def one(http: aiohttp.ClientSession, ready: asyncio.Semaphore) -> int:
        async def ask(body: str) -> str:
            async with http.post(url, data=body, headers=headers) as response:
                return await response.text()

        id = await ask("80,true")
        await ask(f"81,{id},/alarms/*")
        assert (await ask(f"83,{id},-1")).startswith("86,")
        ready.release()
        answer = await ask(f"83,{id},1")
        return answer.count("100,CREATE")

    async def run() -> list[int]:
        ready = asyncio.Semaphore(0)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=DEADLINE) as http:
            tasks = [asyncio.create_task(one(http, ready)) for _ in range(SESSIONS)]
            for _ in range(SESSIONS):
                await ready.acquire()
            await asyncio.to_thread(world.publish, tenant="cumulocity/t123", topic="alarms", count=1)
            return await asyncio.gather(*tasks)

    assert asyncio.run(run()) == [1] * SESSIONS
    assert world.emulator.ledger()["published"] == SESSIONS
