from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from jobgate.gateway.api.context import control_of, job_id_of
from jobgate.gateway.api.problems import BadRequest
from support.control import control_api


def test_job_of_the_path() -> None:
    assert job_id_of(make_mocked_request("GET", "/", match_info={"id": "train-42"})) == "train-42"


@pytest.mark.parametrize("job_id", ["", "a b", "a/b", "é", "a\n", "x" * 129])
def test_path_that_names_no_job(job_id: str) -> None:
    with pytest.raises(BadRequest, match="The path names no job: a job's id has 1 to 128"):
        job_id_of(make_mocked_request("GET", "/", match_info={"id": job_id}))


async def test_gateway_of_a_request(tmp_path: Path) -> None:
    async with control_api(tmp_path) as api:
        assert api.server._runner is not None
        request = make_mocked_request("GET", "/", app=api.server._runner.app)
        assert control_of(request).gate is api.world.gate
