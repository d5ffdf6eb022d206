"""Labels from Claude: prompts made from the policy, a ledger that pays once, answers that are never taken on trust.

1. The verbs: `documents` and `sentences` label a sample of the source, `questions` a file of test questions. `chunks`
   puts sentences into requests and turns the numbers that come back into spans.
2. `prompts` makes a request of policy and text; `fence` encloses foreign text; `request` names a question by its whole
   content, and is what leaves and comes back.
3. `asker` holds what a project asks with. `service` answers every request: what the ledger knows is taken from there,
   only the rest is sent. `estimate` says beforehand what that costs, `cost` what one request may.
4. One call of it is a `task`. `batches` sends Message Batches, and `lost_batches` asks the server about those whose
   reply was lost; `direct` sends single calls; both through `client`.
5. `canaries` are requests of known answer, mixed into every batch; `answers` decides whether a reply is one.
6. `ledger` is every change of what was asked and paid, `ledger_file` its SQLite file, its lock and what can be asked of
   it.
7. `text_labels` chooses the sample, and commits labels of texts as a label set of the source.
"""
