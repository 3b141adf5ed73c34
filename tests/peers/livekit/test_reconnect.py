"""Connections that break: sound goes on, with the clients' own test scenarios."""

import pytest
from livekit import rtc

from people import until

Scenario = rtc.SimulateScenarioKind


@pytest.mark.parametrize(
    "scenario",
    [
        Scenario.SIMULATE_SIGNAL_RECONNECT,
        Scenario.SIMULATE_NODE_FAILURE,
        Scenario.SIMULATE_MIGRATION,
        Scenario.SIMULATE_FULL_RECONNECT,
        Scenario.SIMULATE_DISCONNECT_SIGNAL_ON_RESUME,
    ],
    ids=["signal lost", "node lost", "moved", "joined anew", "signal lost while resuming"],
)
async def test_both_are_heard_again_after(company, scenario):
    async with company:
        anna, ben = await company.pair()
        a, b = await anna.speak(440), await ben.speak(660)
        await ben.hears(a.sid, 440)
        await anna.hears(b.sid, 660)
        await ben.room.simulate_scenario(scenario)
        await until(lambda: ben.saw("reconnected"), lambda: f"ben is back; saw {ben.seen[-12:]}", 25)

        # After a full reconnect tracks have new ids.
        def heard(peer, tone):
            return any(ear.hears(tone) for ear in peer.ears.values())

        await until(lambda: heard(ben, 440), lambda: f"ben hears anna; hears {ben.tones_heard()}", 20)
        await until(lambda: heard(anna, 660), lambda: f"anna hears ben; hears {anna.tones_heard()}", 20)
        received = len(anna.saw("data_received"))
        await ben.me.publish_data(b"still here")
        await until(lambda: len(anna.saw("data_received")) > received, "data arrives too")
