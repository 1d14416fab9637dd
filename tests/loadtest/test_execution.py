"""Scaled clock of the day."""

import asyncio

from router.loadtest.execution import DayClock


async def test_router_timestamps_are_converted_to_times_of_the_day() -> None:
    clock = DayClock(start_ms=28_800_000, speed=60)
    clock.start(router_now_ms=1_700_000_000_000)
    assert clock.to_day_ms(1_700_000_000_000) == 28_800_000
    assert clock.to_day_ms(1_700_000_001_500) == 28_800_000 + 90_000
    assert clock.to_day_ms(1_699_999_999_000) == 28_800_000 - 60_000


async def test_sleeping_until_a_time_of_the_day_takes_the_scaled_time() -> None:
    clock = DayClock(start_ms=0, speed=1_000)
    clock.start(router_now_ms=0)
    began = asyncio.get_running_loop().time()
    await clock.sleep_until(30_000)
    took_s = asyncio.get_running_loop().time() - began
    assert 0.029 <= took_s < 10, "30 ms, and not the 30 s of the day"
    assert clock.lateness_s(30_000) >= -0.001
    assert clock.now_ms >= 29_000


async def test_sleeping_until_a_past_time_returns_at_once() -> None:
    clock = DayClock(start_ms=1_000_000, speed=1)
    clock.start(router_now_ms=0)
    async with asyncio.timeout(1):
        await clock.sleep_until(0)
    assert clock.to_wall_s(60_000) == 60
