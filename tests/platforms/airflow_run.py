"""Runs one refresh of the DAG as Airflow does, and prints what became of its tasks. For Airflow's own interpreter.

Arguments: the params of the run as JSON. The last line of output is JSON, too.
"""
# pyright: reportMissingImports=false

import json
import sys
from datetime import timedelta

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(dag_folder=conf.get("core", "dags_folder"))
dag = bag.dags["tokensieve_refresh"]
for task in dag.tasks:
    task.retry_delay = timedelta(0)
run = dag.test(run_conf=json.loads(sys.argv[1]))
tasks = {one.task_id: [str(one.state), one.try_number] for one in run.get_task_instances()}
print(json.dumps({"import_errors": bag.import_errors, "state": str(run.state), "tasks": tasks}))
