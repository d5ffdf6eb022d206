"""What can go wrong between us and Claude. Each stops the verb; what was answered until then stays in the ledger."""

from jobs.errors import VerbError


class ApiError(VerbError):
    """The API refuses or cannot be reached: a wrong key, an unknown model, no connection."""


class BatchError(VerbError):
    """A batch does not come to an end, was cancelled, or is gone from the server."""


class BudgetError(VerbError):
    """The next request could cross `claude.budget_usd`; it was not sent."""


class CanaryError(VerbError):
    """Too many requests of known answer were answered wrongly; the answers that came with them are not used."""


class LedgerError(VerbError):
    """The ledger is in use by another process, damaged, or of another version."""
