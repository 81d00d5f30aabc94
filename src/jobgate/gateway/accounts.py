"""What workers have counted, added up so that no sum goes back when one of them dies. Pure."""

from __future__ import annotations

from .report import Report


class Accounts:
    """The last report of each worker, and what those had counted that have died.

    Args:
        workers: How many; they are numbered from 1.
    """

    def __init__(self, workers: int) -> None:
        self._reports = {number: Report() for number in range(1, workers + 1)}
        self._past = Report()

    @property
    def reports(self) -> list[Report]:
        """In the order of the workers."""
        return list(self._reports.values())

    @property
    def connections(self) -> int:
        """Open in all workers."""
        return sum(report.connections for report in self._reports.values())

    def take(self, number: int, report: Report) -> Report:
        """Keep what a worker tells, in place of what it told before."""
        self._reports[number] = report
        return report

    def bury(self, number: int) -> None:
        """Keep what a worker had counted that has died; what it held is gone."""
        self._past.add_past(self._reports[number])
        self._reports[number] = Report()

    def whole(self) -> Report:
        """Add up all of them."""
        found = Report(connections=self.connections)
        found.add_past(self._past)
        for report in self._reports.values():
            found.add_past(report)
            found.asking += report.asking
            found.remembered += report.remembered
        return found
