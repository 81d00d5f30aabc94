from __future__ import annotations

from typing import cast

import pytest

from jobgate.proxy.entrance import Entrance
from jobgate.proxy.errors import ProxyError, Reason
from jobgate.proxy.framing import Headers
from jobgate.proxy.job import Job
from jobgate.proxy.peer import Peer
from jobgate.proxy.visit import NOTHING_SHOWN, Visit
from support.visits import showing


class FakeRequests:
    """A cap that is reached after some requests."""

    def __init__(self, left: int) -> None:
        self.left = left

    def take(self) -> float:
        self.left -= 1
        return 0.0 if self.left >= 0 else 0.5


class FakeJob:
    def __init__(self, requests: int = 100) -> None:
        self.gone: Reason | None = None
        self.requests = FakeRequests(requests)


class FakeEntrance:
    """Knows two jobs by what is shown."""

    def __init__(self, jobs: dict[str, Job], own: Job | None = None) -> None:
        self._jobs = {showing(f"{name}:")[1]: job for name, job in jobs.items()}
        self._own = own

    def anyones(self, peer: Peer) -> Job | None:
        return self._own

    def welcomes(self, peer: Peer) -> bool:
        return True

    def identify(self, peer: Peer, headers: Headers) -> Job:
        if headers and headers[0] in self._jobs:
            return self._jobs[headers[0]]
        raise ProxyError(Reason.AUTH)


class Scene:
    """A visit on a shared entrance, and what it did."""

    def __init__(
        self, *, cap: Reason | None = None, full: bool = False, refusal: Reason | None = None
    ) -> None:
        self.nobody, self.a, self.b = (cast(Job, FakeJob()) for _ in range(3))
        self.adopted: list[Job] = []
        self._cap, self._full = cap, full
        entrance: Entrance = FakeEntrance({"a": self.a, "b": self.b})
        self.visit = Visit(entrance, Peer("192.0.2.7:1"), self.nobody, self.nobody, self._adopt, refusal)

    def _adopt(self, job: Job) -> Reason | None:
        if self._full:
            raise ProxyError(Reason.CONNECTIONS)
        self.adopted.append(job)
        return self._cap

    def refused(self) -> Reason | None:
        try:
            self.visit.admit(draining=False)
        except ProxyError as error:
            return error.reason
        return None


def test_first_job_that_is_shown_keeps_the_connection() -> None:
    scene = Scene()
    assert scene.visit.look(showing("a:"))
    assert (scene.visit.job, scene.adopted, scene.refused()) == (scene.a, [scene.a], None)
    assert not scene.visit.look(showing("a:"))
    assert not scene.visit.look(showing("b:"))
    assert (scene.visit.job, scene.visit.whose(), scene.refused()) == (scene.a, scene.nobody, Reason.AUTH)
    assert not scene.visit.look(showing("a:"))
    assert (scene.visit.whose(), scene.refused()) == (scene.a, None)
    assert scene.visit.is_welcome
    assert scene.adopted == [scene.a]


def test_stranger_is_refused_and_floods() -> None:
    scene = Scene()
    assert not scene.visit.look([])
    assert (scene.visit.whose(), scene.refused()) == (scene.nobody, Reason.AUTH)
    assert scene.visit.flooding
    assert not scene.visit.is_welcome
    assert scene.nobody.requests.take() == 0.0


def test_inside_a_connect_counts_what_that_showed() -> None:
    scene = Scene()
    assert scene.visit.look(showing("a:"))
    assert not scene.visit.look(None)
    assert scene.refused() is None


@pytest.mark.parametrize(
    ("scene", "whose", "reason"),
    [
        pytest.param(Scene(cap=Reason.CONNECTIONS), "a", Reason.CONNECTIONS, id="over-the-cap"),
        pytest.param(Scene(full=True), "nobody", Reason.CONNECTIONS, id="far-over-the-cap"),
        pytest.param(Scene(refusal=Reason.OVERLOADED), "a", Reason.OVERLOADED, id="process-is-full"),
    ],
)
def test_too_many_connections(scene: Scene, whose: str, reason: Reason) -> None:
    scene.visit.look(showing("a:"))
    assert scene.visit.job is getattr(scene, whose)
    assert not scene.visit.is_welcome
    assert scene.refused() is reason


def test_own_job_is_not_asked_for_anything() -> None:
    job, nobody = cast(Job, FakeJob(requests=1)), cast(Job, FakeJob())
    visit = Visit(FakeEntrance({}, own=job), Peer("unix", 0), job, nobody, lambda _: None)
    assert not visit.look([])
    visit.admit(draining=False)
    with pytest.raises(ProxyError, match="draining"):
        visit.admit(draining=True)
    with pytest.raises(ProxyError, match="rate") as caught:
        visit.admit(draining=False)
    assert (caught.value.retry_after_s, visit.flooding) == (0.5, True)
    job.gone = Reason.EXPIRED
    with pytest.raises(ProxyError, match="expired"):
        visit.admit(draining=False)


def test_connection_that_is_a_jobs_before_its_first_request_is_read_shows_nothing_until_then() -> None:
    """Another process has seen whose it is."""
    scene = Scene()
    visit = Visit(FakeEntrance({"a": scene.a}), Peer("unix", 1), scene.a, scene.nobody, scene._adopt)
    visit.stranger = NOTHING_SHOWN
    assert visit.whose() is scene.nobody
    visit.count()  # something that was no request
    left = [cast(FakeJob, job).requests.left for job in (scene.nobody, scene.a)]
    assert left == [99, 100]
    assert not visit.look(showing("a:"))
    assert (visit.whose(), scene.adopted) == (scene.a, [])
    assert not visit.look(showing("b:"))
    assert visit.whose() is scene.nobody
