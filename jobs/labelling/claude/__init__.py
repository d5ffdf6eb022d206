"""Labels from Claude: prompts made from the policy, a ledger that pays once, answers that are never taken on trust."""
