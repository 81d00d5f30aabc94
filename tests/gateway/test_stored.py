from __future__ import annotations

from jobgate.gateway.stored import StoredJob


def test_hash_of_a_token_is_never_printed() -> None:
    job = StoredJob("train", {"id": "train"}, b"\x7fhash", 1.5, "127.0.0.1:3128")
    assert "hash" not in f"{job}{job!r}"
    assert repr(job) == "StoredJob('train')"
