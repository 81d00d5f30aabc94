from __future__ import annotations

from collections import Counter

from jobgate.gateway.accounts import Accounts
from jobgate.gateway.report import Report
from jobgate.proxy.totals import Totals


def told(count: int, connections: int) -> Report:
    return Report(
        totals=Totals(bytes_up=count, decisions=Counter(allow=count)), connections=connections, asking=1
    )


def test_sums_are_those_of_the_last_reports() -> None:
    accounts = Accounts(2)
    accounts.take(1, told(5, 2))
    accounts.take(2, told(7, 1))
    accounts.take(1, told(6, 3))
    whole = accounts.whole()
    assert (whole.totals.bytes_up, whole.totals.decisions["allow"]) == (13, 13)
    assert (whole.connections, accounts.connections, whole.asking) == (4, 4, 2)
    assert [report.connections for report in accounts.reports] == [3, 1]


def test_what_a_worker_that_died_had_counted_stays_and_what_it_held_does_not() -> None:
    accounts = Accounts(2)
    accounts.take(1, told(5, 2))
    accounts.bury(1)
    accounts.bury(1)
    assert (accounts.whole().totals.bytes_up, accounts.connections, accounts.whole().asking) == (5, 0, 0)
    accounts.take(1, told(2, 1))
    assert accounts.whole().totals.bytes_up == 7
