"""The words for a request that does not fit the budget: what is left, what is needed, how to go on."""

import math

from jobs.labelling.claude import drift
from jobs.labelling.claude.cost import most
from jobs.labelling.claude.errors import BudgetError
from jobs.labelling.claude.task import Task


def over_budget(task: Task, needed: float, *, batch: bool) -> BudgetError:
    """The error for a request that may cost `needed` dollars, with the canaries before it, when fewer are left."""
    spent, reserved = task.ledger.money()
    waiting = [task.requests[key] for key in task.ledger.waiting()]
    count = drift.number(len(waiting), len(task.canaries), task.config)
    asked = [*waiting, *(task.canaries[at % len(task.canaries)].request for at in range(count))]
    bound = max(sum(most(one, task.config, task.price, batch=batch) for one in asked), needed)
    enough = math.ceil(100 * (spent + reserved + bound)) / 100
    return BudgetError(
        f"claude.budget_usd is ${task.config.budget_usd:.4f}: ${spent:.4f} is spent and ${reserved:.4f} reserved, and "
        f"the next request may cost ${needed:.4f}, so it was not sent. {len(waiting):,} requests wait, which cost at "
        f"most ${bound:.4f}: set claude.budget_usd={enough:.2f} and run the same command again; what was answered is "
        "kept and not paid again"
    )
