"""Workers of `livekit-agents`, unchanged: they register, are sent into rooms, and are heard there."""

import asyncio
import os
import signal
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest
from livekit import api, rtc

from people import Company, until
from servers import LIVEKIT_KEY, LIVEKIT_SECRET, running

WORKER = Path(__file__).parent / "worker" / "tone_worker.py"


class Worker:
    """A running worker; it and its job processes share a process group."""

    def __init__(self, process, log: Path):
        self.process = process
        self.log = log

    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self):
        """Ends it as a crash does: without a word."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)


@contextmanager
def working(python: str, url: str, tone_hz: int, name: str = ""):
    with tempfile.TemporaryDirectory(prefix="meetmind-worker-") as folder:
        log = Path(folder, "log")
        environment = os.environ | {
            "AGENT_NAME": name,
            "AGENT_TONE_HZ": str(tone_hz),
            "LIVEKIT_API_KEY": LIVEKIT_KEY,
            "LIVEKIT_API_SECRET": LIVEKIT_SECRET,
            "LIVEKIT_URL": url,
        }
        with open(log, "w", encoding="utf-8") as to:
            process = subprocess.Popen([python, str(WORKER), "start"], cwd=folder, env=environment, stdout=to, stderr=subprocess.STDOUT, start_new_session=True)
        worker = Worker(process, log)
        try:
            yield worker
        finally:
            worker.kill()


@pytest.fixture(scope="module")
def dispatching():
    """A server of its own: a worker without a name is sent into every room there is."""
    with running() as one:
        yield one


@pytest.fixture
def company(dispatching):
    return Company(dispatching.socket_url, f"room-{uuid.uuid4().hex[:8]}", None)


@pytest.fixture(scope="module")
def named(dispatching, worker_python):
    """Two workers of one name, told apart by their tones."""
    with (
        working(worker_python, dispatching.socket_url, 600, "helper") as first,
        working(worker_python, dispatching.socket_url, 800, "helper") as second,
    ):
        yield {600: first, 800: second}


async def registered(*workers):
    for worker in workers:
        await until(lambda: "registered worker" in worker.text(), lambda: f"the worker registers: {worker.text()[-3000:]}", 30)


async def agent_in(peer, besides: str = ""):
    """The agent that is in the room, other than the one with this session; its identity may be the same."""

    def found():
        return next((it for it in peer.others.values() if it.kind == rtc.ParticipantKind.PARTICIPANT_KIND_AGENT and it.sid != besides), None)

    return await until(found, lambda: f"an agent comes; there are {list(peer.others.values())}", 40)


async def heard(peer, agent, tone_hz: int):
    await until(
        lambda: any(sid in peer.ears and peer.ears[sid].hears(tone_hz) for sid in agent.track_publications),
        lambda: f"{agent.identity} is heard with {tone_hz} Hz; heard {peer.tones_heard()}",
        30,
    )


async def heard_as_it_says(peer, agent, told: str) -> int:
    """Hears an agent of a name and gives its tone; it must have been told what the dispatch says."""
    await until(lambda: "tone" in agent.attributes, "the agent says its tone")
    assert agent.attributes["told"] == told
    tone_hz = int(agent.attributes["tone"])
    await heard(peer, agent, tone_hz)
    return tone_hz


async def test_a_worker_without_a_name_comes_to_the_room_that_waits_and_to_the_next(company, dispatching, worker_python):
    async with company:
        anna = await company.join("anna")
        with working(worker_python, dispatching.socket_url, 550) as worker:
            await registered(worker)
            await heard(anna, await agent_in(anna), 550)
            async with Company(company.url, company.room + "-next", None) as another:
                ben = await another.join("ben")
                said = asyncio.Queue()

                async def read(reader):
                    await said.put(await reader.read_all())

                ben.room.register_text_stream_handler("lk.transcription", lambda reader, _: asyncio.ensure_future(read(reader)))
                await heard(ben, await agent_in(ben), 550)
                assert "welcome" in await asyncio.wait_for(said.get(), 20)


async def test_an_agent_is_sent_by_name_and_listed_until_it_is_taken_back(company, named):
    await registered(*named.values())
    async with company:
        anna = await company.join("anna")
        client = api.LiveKitAPI(company.url.replace("ws", "http", 1), LIVEKIT_KEY, LIVEKIT_SECRET)
        try:
            made = await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="helper", room=company.room, metadata="take notes"))
            agent = await agent_in(anna)
            await heard_as_it_says(anna, agent, "take notes")
            listed = await client.agent_dispatch.list_dispatch(room_name=company.room)
            assert [(it.agent_name, it.metadata, len(it.state.jobs)) for it in listed if it.id == made.id] == [("helper", "take notes", 1)]
            await client.agent_dispatch.delete_dispatch(made.id, company.room)
            await until(lambda: agent.identity not in anna.others, "the agent leaves", 20)
        finally:
            await client.aclose()


async def test_the_token_of_the_first_names_the_agent(company, named):
    await registered(*named.values())
    config = api.RoomConfiguration(agents=[api.RoomAgentDispatch(agent_name="helper", metadata="by token")])
    async with company:
        anna = await company.join("anna", config=config)
        await heard_as_it_says(anna, await agent_in(anna), "by token")


def meeting_of(host) -> str:
    made = host.http.post("/api/meetings", json={"title": "With helpers", "access": "open", "consent_policy": "implied"})
    assert made.status_code == 201, made.text
    return made.json()["data"]["id"]


def runs_in(host, meeting_id: str) -> list[dict]:
    """The agents that are or were in a meeting, each with its newest run."""
    answer = host.http.get(f"/api/meetings/{meeting_id}/agents")
    assert answer.status_code == 200, answer.text
    return answer.json()["data"]["items"]


async def run_is(host, run_id: str, state: str) -> dict:
    def found():
        run = host.http.get(f"/api/runs/{run_id}").json()["data"]
        return run if run["state"] == state else None

    return await until(found, lambda: f"{state}; {host.http.get(f'/api/runs/{run_id}/events').text}", 40)


async def test_an_agent_of_a_worker_is_added_to_a_meeting_and_its_run_outlives_the_workers_death(dispatching, person, named):
    await registered(*named.values())
    host = person("anna", dispatching)
    meeting_id = meeting_of(host)
    made = host.http.post("/api/agents", json={"name": "Hal", "worker": "helper", "instructions": "take notes"})
    assert made.status_code == 201, made.text
    seat = host.http.post(f"/api/meetings/{meeting_id}/join", json={}).json()["data"]["livekit"]
    async with Company(seat["url"], meeting_id, None) as company:
        anna = await company.join("anna", jwt=seat["token"])
        added = host.http.post(f"/api/meetings/{meeting_id}/agents", json={"agent_id": made.json()["data"]["id"]})
        assert added.status_code == 201, added.text
        run_id = added.json()["data"]["id"]
        agent = await agent_in(anna)
        agent_sid = agent.sid
        tone_hz = await heard_as_it_says(anna, agent, "take notes")
        assert (await run_is(host, run_id, "live"))["attempt"] == 1
        named.pop(tone_hz).kill()
        took_over = await agent_in(anna, besides=agent_sid)
        (left,) = named
        assert await heard_as_it_says(anna, took_over, "take notes") == left
        assert (await run_is(host, run_id, "live"))["attempt"] == 2
        stopped = host.http.post(f"/api/runs/{run_id}/stop", json={})
        assert stopped.status_code == 200, stopped.text
        await until(lambda: took_over.identity not in anna.others, "the agent leaves", 20)
        assert [(it["name"], it["run"]["state"]) for it in runs_in(host, meeting_id)] == [("Hal", "completed")]


async def test_a_worker_that_somebodys_token_brings_is_a_run_that_only_the_meeting_sees(dispatching, person, named):
    await registered(*named.values())
    host, stranger = person("anna", dispatching), person("ben", dispatching)
    meeting_id = meeting_of(host)
    seat = host.http.post(f"/api/meetings/{meeting_id}/join", json={}).json()["data"]["livekit"]
    async with Company(seat["url"], meeting_id, None) as company:
        anna = await company.join("anna", jwt=seat["token"])
        client = api.LiveKitAPI(company.url.replace("ws", "http", 1), LIVEKIT_KEY, LIVEKIT_SECRET)
        try:
            await client.agent_dispatch.create_dispatch(api.CreateAgentDispatchRequest(agent_name="helper", room=meeting_id))
        finally:
            await client.aclose()
        await agent_in(anna)
        (shown,) = await until(lambda: runs_in(host, meeting_id), "the run is shown")
        assert shown["name"] == "helper"
        await run_is(host, shown["run"]["id"], "live")
        assert stranger.http.get(f"/api/runs/{shown['run']['id']}").status_code == 404
