from __future__ import annotations

import asyncio
import hashlib
import socket
from pathlib import Path

import pytest

from jobgate.gateway.store import Store
from jobgate.gateway.stored import StoredJob, StoreError
from jobgate.gateway.views import JobProblems, JobView, Origin, ReadOnlyJob, State, UnknownJob
from jobgate.proxy.gate import Gate
from jobgate.proxy.job import Job
from jobgate.proxy.usage import JobCounters
from support.registry import DOCUMENT, NOW, World, status, world

FILE_JOB = """
[[job]]
id = "{id}"
network = "http"
listen = "{listen}"
domains = ["{domain}"]
"""


def file_job(id: str = "filed", listen: str = "127.0.0.1:0", domain: str = "a.test") -> str:
    return FILE_JOB.format(id=id, listen=listen, domain=domain)


def document(**changes: object) -> dict[str, object]:
    return {**DOCUMENT, **changes}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


async def problem_of(world: World, job_id: str, asked: dict[str, object]) -> list[tuple[str, str]]:
    with pytest.raises(JobProblems) as caught:
        await world.registry.put(job_id, asked)
    return [(problem.path, problem.message) for problem in caught.value.problems]


# --- put ------------------------------------------------------------------------------


async def test_new_job_listens_before_it_is_answered() -> None:
    async with world() as here:
        view, created = await here.registry.put("train", document())
        assert created
        assert (view.id, view.origin, view.state, view.problem) == ("train", Origin.API, State.ACTIVE, "")
        assert (view.created_at, view.connections) == (NOW, 0)
        assert view.counters == JobCounters(0, 0, 0, 0, NOW)
        assert await status(view.listen, "b.test:443") == 403
        assert here.events("policy") == [{"action": "add", "job": "train"}]


async def test_same_document_again_changes_nothing() -> None:
    async with world() as here:
        first, _ = await here.registry.put("train", document())
        generation = here.gate.jobs["train"].generation
        again, created = await here.registry.put("train", document(rate_up=1_250_000, deny=[]))
        assert (again, created) == (first, False)
        assert here.gate.jobs["train"].generation == generation
        assert len(here.events("policy")) == 1


async def test_changed_job_keeps_its_listener_and_counters() -> None:
    async with world() as here:
        first, _ = await here.registry.put("train", document())
        await status(first.listen, "b.test:443")
        here.now += 60.0
        changed, created = await here.registry.put("train", document(domains=["b.test"]))
        assert not created
        assert (changed.listen, changed.created_at) == (first.listen, NOW)
        assert changed.counters.requests == 1
        assert await status(changed.listen, "a.test:443") == 403
        assert here.events("policy")[1:] == [
            {"action": "weaken", "what": 'job train: domains: "b.test" may be reached'},
            {"action": "change", "job": "train"},
        ]


async def test_job_that_moves_leaves_its_listener(tmp_path: Path) -> None:
    async with world() as here:
        first, _ = await here.registry.put("train", document(listen=f"unix:{tmp_path}/one"))
        second, _ = await here.registry.put("train", document(listen=f"unix:{tmp_path}/two"))
        assert names(tmp_path) == ["two"]
        assert await status(first.listen) is None
        assert await status(second.listen, "b.test:443") == 403


async def test_job_without_network_has_no_listener() -> None:
    async with world() as here:
        served, _ = await here.registry.put("train", document())
        view, _ = await here.registry.put("train", {"network": "none"})
        assert (view.state, view.listen, view.connections) == (State.ACTIVE, None, 0)
        assert await status(served.listen) is None
        assert here.gate.jobs == {}


async def test_document_is_shown_whole_and_without_token() -> None:
    async with world() as here:
        view, _ = await here.registry.put("train", document(token="secret", rate_up="20mbit"))
        assert view.document["id"] == "train"
        assert view.document["rate_up"] == 2_500_000
        assert "token" not in view.document
        assert here.gate.jobs["train"].settings.token_hash == hashlib.sha256(b"secret").digest()
        assert "secret" not in here.log.text


async def test_rate_is_kept_as_asked_and_served_as_the_node_allows() -> None:
    async with world('[node]\nmax_rate_up = "1mbit"\n') as here:
        view, _ = await here.registry.put("train", document(rate_up="20mbit"))
        assert view.document["rate_up"] == 2_500_000
        assert here.gate.jobs["train"].policy.job.rate_up == 125_000


@pytest.mark.parametrize(
    ("asked", "key", "message"),
    [
        (document(id="other"), "id", 'the job is "train": leave the id out, or write that one'),
        (document(domains=["*.a.test"]), "domains[0]", '"*.a.test": '),
        (document(domains=["z.test"]), "domains", '"z.test" is not covered by the node\'s allow list'),
        (document(network="full", domains=[], listen=""), "network", 'the node does not accept "full"'),
        (document(listen=""), "listen", "missing: "),
        (document(colour="red"), "colour", "unknown key"),
        (document(listen="127.0.0.1:3998"), "listen", '"127.0.0.1:3998" is listen.metrics of the gateway'),
        (document(listen="192.0.2.1:3128"), "listen", "job train: cannot listen on 192.0.2.1:3128: Cannot"),
    ],
    ids=["id", "domain", "node", "network", "no listener", "key", "gateway's", "not ours"],
)
async def test_job_that_cannot_be_taken_changes_nothing(
    asked: dict[str, object], key: str, message: str
) -> None:
    async with world('[node]\nallow = [".a.test"]\n[listen]\nmetrics = "127.0.0.1:3998"\n') as here:
        ((path, text),) = await problem_of(here, "train", asked)
        assert path == key
        assert text.startswith(message)
        assert (here.registry.jobs(), here.gate.jobs, here.events("policy")) == ([], {}, [])


async def test_listener_of_another_job_is_named() -> None:
    port = free_port()
    async with world(file_job(listen=f"127.0.0.1:{port}")) as here:
        assert await problem_of(here, "train", document(listen=f"127.0.0.1:{port}")) == [
            ("listen", f'"127.0.0.1:{port}" is the listener of job "filed" already')
        ]


# --- patch and remove -----------------------------------------------------------------


async def test_patch_changes_what_it_names() -> None:
    async with world() as here:
        before, _ = await here.registry.put(
            "train", document(token="secret", labels={"team": "a", "gpu": "1"})
        )
        after = await here.registry.patch("train", {"labels": {"team": "b", "gpu": None}, "deny": ["c.test"]})
        assert after.document == {**before.document, "labels": {"team": "b"}, "deny": ["c.test"]}
        assert after.listen == before.listen
        assert here.gate.jobs["train"].settings.token_hash == hashlib.sha256(b"secret").digest()


@pytest.mark.parametrize(
    ("token", "expected"), [("other", hashlib.sha256(b"other").digest()), (None, None)], ids=["new", "none"]
)
async def test_patch_that_names_the_token_replaces_it(token: str | None, expected: bytes | None) -> None:
    async with world() as here:
        await here.registry.put("train", document(token="secret"))
        await here.registry.patch("train", {"token": token})
        assert here.gate.jobs["train"].settings.token_hash == expected


async def test_patch_needs_a_job() -> None:
    async with world() as here:
        with pytest.raises(UnknownJob, match=r'^no job "train"$'):
            await here.registry.patch("train", {})


async def test_removed_job_is_unknown_and_not_served(tmp_path: Path) -> None:
    async with world() as here:
        view, _ = await here.registry.put("train", document(listen=f"unix:{tmp_path}/sock"))
        await here.registry.remove("train")
        assert names(tmp_path) == []
        assert await status(view.listen) is None
        with pytest.raises(UnknownJob):
            here.registry.get("train")
        with pytest.raises(UnknownJob):
            await here.registry.remove("train")
        assert here.events("policy")[-1] == {"action": "remove", "job": "train"}


async def test_jobs_of_the_file_are_read_only() -> None:
    async with world(file_job()) as here:
        assert here.registry.get("filed").origin is Origin.FILE
        message = r'^job "filed" is in the configuration file: change it there and reload$'
        with pytest.raises(ReadOnlyJob, match=message):
            await here.registry.put("filed", document())
        with pytest.raises(ReadOnlyJob, match=message):
            await here.registry.patch("filed", {})
        with pytest.raises(ReadOnlyJob, match=message):
            await here.registry.remove("filed")


async def test_jobs_are_listed_by_id_in_pages() -> None:
    async with world(file_job("b")) as here:
        for job_id in ("d", "a", "c"):
            await here.registry.put(job_id, {"network": "none"})
        assert ids(here.registry.jobs()) == ["a", "b", "c", "d"]
        assert ids(here.registry.jobs(limit=2)) == ["a", "b"]
        assert ids(here.registry.jobs("b", 2)) == ["c", "d"]
        assert ids(here.registry.jobs("bb", 1)) == ["c"]
        assert ids(here.registry.jobs("d")) == []


def ids(views: list[JobView]) -> list[str]:
    return [view.id for view in views]


# --- state ----------------------------------------------------------------------------


async def test_job_whose_time_is_over_stays_listed_as_expired() -> None:
    async with world() as here:
        view, _ = await here.registry.put("train", document(expires="2020-01-01T00:00:00Z"))
        assert view.state is State.EXPIRED
        assert await status(view.listen, "a.test:443") == 403
        assert here.registry.get("train").state is State.EXPIRED


async def test_job_whose_quota_is_spent_is_shown_so(tmp_path: Path) -> None:
    async with world(state=tmp_path / "db") as here:
        await here.registry.put("train", document(max_bytes_up=5))
        await here.store.add_counters({"train": JobCounters(100, 0, 0, 0, NOW)})
    async with world(state=tmp_path / "db") as here:
        assert here.registry.get("train").state is State.QUOTA


# --- restart --------------------------------------------------------------------------


async def test_jobs_and_counters_are_there_after_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "db"
    async with world(file_job(), state=state) as here:
        await here.registry.put("secret", document(token="secret"))
        before, _ = await here.registry.put("train", document(labels={"team": "a"}))
        await status(before.listen, "b.test:443")
        await status(here.registry.get("filed").listen, "b.test:443")
        await here.log.changes.until(lambda: len(here.log.closes) == 2)
    async with world(file_job(), state=state) as here:
        here.now += 60.0
        after = here.registry.get("train")
        assert (after.document, after.created_at, after.listen) == (before.document, NOW, before.listen)
        assert after.counters == JobCounters(0, 0, 1, 1, NOW)
        assert here.registry.get("filed").counters == JobCounters(0, 0, 1, 1, NOW)
        assert here.gate.jobs["secret"].settings.token_hash == hashlib.sha256(b"secret").digest()


async def test_port_that_is_taken_after_a_restart_is_another(tmp_path: Path) -> None:
    async with world(state=tmp_path / "db") as here:
        before, _ = await here.registry.put("train", document())
    assert before.listen is not None
    with socket.create_server(("127.0.0.1", int(before.listen.rpartition(":")[2]))):
        async with world(state=tmp_path / "db") as here:
            after = here.registry.get("train")
            assert after.state is State.ACTIVE
            assert after.listen != before.listen
            assert await status(after.listen, "b.test:443") == 403


async def test_job_of_the_api_without_its_listener_does_not_stop_the_others(tmp_path: Path) -> None:
    async with world(state=tmp_path / "db") as here:
        await here.registry.put("train", document(listen=f"127.0.0.1:{(port := free_port())}"))
        await here.registry.put("other", document())
    with socket.create_server(("127.0.0.1", port)):
        async with world(state=tmp_path / "db") as here:
            view = here.registry.get("train")
            assert (view.state, view.listen) == (State.REFUSED, None)
            assert view.problem == f"job train: cannot listen on 127.0.0.1:{port}: Address already in use"
            assert here.registry.get("other").state is State.ACTIVE


async def test_job_of_the_api_that_the_file_has_now_is_the_files(tmp_path: Path) -> None:
    state = tmp_path / "db"
    async with world(state=state) as here:
        view, _ = await here.registry.put("train", document())
        await status(view.listen, "b.test:443")
    async with world(file_job("train"), state=state) as here:
        assert here.registry.get("train").origin is Origin.FILE
        assert here.registry.get("train").counters.requests == 1
    async with world(state=state) as here:
        assert here.registry.jobs() == []


async def test_job_that_nobody_can_read_stops_the_start(tmp_path: Path) -> None:
    state = tmp_path / "db"
    store = Store(str(state))
    await store.load(())
    await store.put_job(StoredJob("train", {"id": "train", "colour": "red"}, None, NOW, ""))
    await store.close()
    with pytest.raises(
        StoreError, match=rf'^cannot read job "train" in {state}: colour: unknown key.*: run '
    ):
        async with world(state=state):
            pass


# --- a step that fails ----------------------------------------------------------------


async def test_store_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here:
        kept, _ = await here.registry.put("kept", document())
        monkeypatch.setattr(Store, "put_job", failing)
        monkeypatch.setattr(Store, "remove_jobs", failing)
        with pytest.raises(StoreError):
            await here.registry.put("train", document(listen=f"unix:{tmp_path}/sock"))
        with pytest.raises(StoreError):
            await here.registry.put("kept", document(domains=["b.test"]))
        with pytest.raises(StoreError):
            await here.registry.remove("kept")
        assert names(tmp_path) == []
        assert here.registry.jobs() == [kept]
        assert await status(kept.listen, "b.test:443") == 403


async def failing(*args: object, **kwargs: object) -> None:
    raise StoreError("cannot write state.db: the disk is full: make room")


@pytest.mark.parametrize("step", ["add_job", "listen"])
async def test_gate_that_fails_leaves_no_new_job(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async with world(state=tmp_path / "db") as here:
        monkeypatch.setattr(Gate, step, unable)
        with pytest.raises(OSError, match="out of descriptors"):
            await here.registry.put("train", document(listen=f"unix:{tmp_path}/sock"))
        assert not (tmp_path / "sock").exists()
        assert (here.registry.jobs(), here.gate.jobs) == ([], {})
    async with world(state=tmp_path / "db") as here:
        assert here.registry.jobs() == []


async def test_gate_that_fails_leaves_a_job_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(state=tmp_path / "db") as here:
        before, _ = await here.registry.put("train", document())
        with monkeypatch.context() as patched:
            patched.setattr(Gate, "change_job", unable)
            with pytest.raises(OSError, match="out of descriptors"):
                await here.registry.put("train", document(domains=["b.test"]))
        assert here.registry.get("train") == before
        assert await status(before.listen, "b.test:443") == 403
    async with world(state=tmp_path / "db") as here:
        assert here.registry.get("train").document == before.document


def unable(self: Gate, *args: object, **kwargs: object) -> Job:
    raise OSError("out of descriptors")


async def test_change_goes_on_when_nobody_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world() as here:
        writing, go_on = asyncio.Event(), asyncio.Event()

        async def slow(self: Store, job: StoredJob) -> None:
            writing.set()
            await go_on.wait()

        monkeypatch.setattr(Store, "put_job", slow)
        caller = asyncio.create_task(here.registry.put("train", document()))
        await writing.wait()
        caller.cancel()
        await asyncio.wait({caller})
        go_on.set()
        await here.registry.write_counters()  # waits for its turn
        assert here.registry.get("train").state is State.ACTIVE


async def test_store_that_fails_for_counters_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with world(file_job()) as here:
        with monkeypatch.context() as patched:
            patched.setattr(Store, "add_counters", failing)
            await here.registry.write_counters()
            await here.registry.write_counters()
        await here.registry.write_counters()
        problem = "cannot write state.db: the disk is full: make room"
        assert here.events("state") == [{"problem": problem}, {"problem": None}]


async def test_counters_that_could_not_be_written_are_written_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world(file_job(), state=tmp_path / "db") as here:
        with monkeypatch.context() as patched:
            patched.setattr(Store, "add_counters", failing)
            await status(here.registry.get("filed").listen, "b.test:443")
            await here.registry.write_counters()
        await status(here.registry.get("filed").listen, "b.test:443")
        await here.registry.write_counters()
        await here.registry.write_counters()
    async with world(file_job(), state=tmp_path / "db") as here:
        assert here.registry.get("filed").counters == JobCounters(0, 0, 2, 2, NOW)
