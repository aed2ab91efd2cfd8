"""A DAG of Airflow 3 that asks every night for the day that has just ended in Seoul."""

import pendulum
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG
from airflow.timetables.interval import CronDataIntervalTimetable

ZONE = "Asia/Seoul"
# The interval begins yesterday at 05:10 in Seoul: its day there is the one to ask for. A cron string would be a
# CronTriggerTimetable in Airflow 3, whose interval begins when it ends: today, which is not over. `ds` is UTC's day.
DAY = f"{{{{ data_interval_start.in_timezone('{ZONE}').strftime('%Y-%m-%d') }}}}"
RUN = ".venv/bin/python run_all.py run --profile parameters/production.yaml --date " + DAY

with DAG(
    "bigmama",
    schedule=CronDataIntervalTimetable("10 5 * * *", timezone=ZONE),
    start_date=pendulum.datetime(2024, 5, 1, tz=ZONE),
    catchup=False,
    max_active_runs=1,
) as dag:
    run = BashOperator(task_id="run", cwd="/srv/bigmama", bash_command=RUN)
    rest = BashOperator(
        task_id="rest",
        cwd="/srv/bigmama",
        bash_command=RUN + " --missing",
        trigger_rule="one_failed",
        retries=2,
        retry_delay=pendulum.duration(minutes=30),
    )
    run >> rest
