from __future__ import annotations

import pytest

from jobgate.proxy.errors import Reason
from jobgate.proxy.framing import CHUNKED, Content
from jobgate.proxy.legs import Legs
from jobgate.proxy.upload import Upload
from support.lanes import free_lane
from support.wires import FakeWire


class Scene:
    """An upload from a client that a test plays."""

    def __init__(self, content: Content, max_content_bytes: int = 0) -> None:
        self.client, self.upstream = FakeWire(), FakeWire()
        legs = Legs(self.client, self.upstream, free_lane(), free_lane())
        self.upload = Upload(legs, content, max_content_bytes)
        self.upload.start()

    @property
    def seen(self) -> tuple[bool, bool, Reason | None]:
        refusal = self.upload.refusal
        return self.upload.is_whole, self.upload.has_failed, None if refusal is None else refusal.reason


UNDER_WAY, WHOLE, FAILED = (False, False, None), (True, False, None), (False, True, None)


def test_known_length_goes_up_as_it_is() -> None:
    scene = Scene(Content("length", 5))
    scene.client.arrive(b"abc")
    assert scene.seen == UNDER_WAY
    scene.client.arrive(b"deGET")
    assert (scene.seen, bytes(scene.upstream.written)) == (WHOLE, b"abcde")
    assert scene.client.inbox == b"GET"


def test_chunks_are_made_anew() -> None:
    scene = Scene(CHUNKED)
    scene.client.arrive(b"3;x=y\r\nabc\r\n")
    assert scene.seen == UNDER_WAY
    scene.client.arrive(b"0\r\n\r\n")
    assert (scene.seen, bytes(scene.upstream.written)) == (WHOLE, b"3\r\nabc\r\n0\r\n\r\n")


@pytest.mark.parametrize("content", [Content("length", 5), CHUNKED], ids=["length", "chunked"])
def test_content_that_ends_early_is_the_client_s_fault(content: Content) -> None:
    scene = Scene(content)
    scene.client.end()
    assert scene.seen == (False, True, Reason.BAD_REQUEST)


def test_broken_chunks_are_the_client_s_fault() -> None:
    scene = Scene(CHUNKED)
    scene.client.arrive(b"no size\r\n")
    assert scene.seen == (False, True, Reason.BAD_REQUEST)


@pytest.mark.parametrize(("size", "seen"), [(3, UNDER_WAY), (4, (False, True, Reason.CONTENT_TOO_LARGE))])
def test_chunked_content_has_a_limit(size: int, seen: tuple[bool, bool, Reason | None]) -> None:
    scene = Scene(CHUNKED, max_content_bytes=3)
    scene.client.arrive(b"%d\r\n%b\r\n" % (size, b"x" * size))
    assert scene.seen == seen


def test_resets_and_a_stop_are_nobody_s_fault() -> None:
    reset, stopped = Scene(Content("length", 5)), Scene(Content("length", 5))
    reset.client.break_()
    stopped.upload.stop()
    assert reset.seen == stopped.seen == FAILED
