"""What can go wrong while a classifier is measured or calibrated; every message names set, document and what to do."""


class ReportError(ValueError):
    """A classifier cannot be measured or calibrated as asked."""


class SetError(ReportError):
    """An evaluation set cannot be read as its configuration says."""


class LeakError(ReportError):
    """A document would be reported on that a threshold was chosen on, or a baseline learned from."""


class GoalError(ReportError):
    """The documents lack what a goal speaks of: a class, a domain."""


class Unreachable(GoalError):
    """No level of the grid meets the goal on these documents; the message gives the range that can be met."""
