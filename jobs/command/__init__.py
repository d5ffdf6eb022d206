"""Verbs as commands, whoever starts them: the command line, spark-submit, a scheduler.

1. `verbs` names every verb, what it does, and the function that is its code, as text.
2. `application` makes commands of them, on the command line or as a program of its own.
3. `run_verb` does what is around each: options, configuration, session, errors to exit codes, the result as lines or
   JSON.
"""
