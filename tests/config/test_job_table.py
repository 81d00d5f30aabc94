from __future__ import annotations

import math

from jobgate.config.convert import read_table
from jobgate.config.job_table import JobTable
from jobgate.config.policy import JobPolicy, Mode, Network, Tls
from jobgate.config.rules import RuleSet


def test_policy_is_the_part_that_decides() -> None:
    rules = RuleSet.parse(["a.b"])
    job = JobTable("j", domains=rules, network=Network.HTTP, rate_up=math.inf, tls=Tls.ANY, mode=Mode.REPORT)
    assert job.policy == JobPolicy(
        Network.HTTP, rules, RuleSet(), math.inf, 1_250_000.0, Tls.ANY, Mode.REPORT
    )


def test_token_is_not_shown() -> None:
    job, problems, _ = read_table(JobTable, {"id": "j", "token": "s3cret"})
    assert (job.token, problems) == ("s3cret", [])
    assert "s3cret" not in repr(job)
