"""bigmama-nb on Spark; tells the memory of each process, and what Spark's own log says of shuffles and spills."""

from __future__ import annotations

import json
import resource
import shutil
import sys
import tempfile
from pathlib import Path

import psutil

from benchmarks.live_play_peers import DAY, RUN_TIMESTAMP
from bigmama_nb.engines.spark import SparkEngine
from bigmama_nb.live_play import Sources, build

sources, out, master, memory = sys.argv[1:5]
folder = Path(tempfile.mkdtemp(prefix="spark-bench-"))
(folder / "events").mkdir()
CONF = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "16",
    "spark.eventLog.enabled": "true",
    "spark.eventLog.dir": f"file://{folder}/events",
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
    "spark.local.dir": f"{folder}/local",
    "spark.executor.memory": memory,
}


def peak_mb(process: psutil.Process) -> float:
    """Return the most memory that a process held, as the system keeps it."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


shutil.rmtree(out, ignore_errors=True)
heap = 1 << 30 if master.startswith("local-cluster") else int(memory.removesuffix("m")) << 20
engine = SparkEngine(
    master=master,
    conf=CONF,
    scratch=str(folder / "scratch"),
    remove=lambda name: shutil.rmtree(name, ignore_errors=True),
    driver_memory=heap,
)
built = build(engine, Sources(sources), DAY, log_end=DAY, run_timestamp=RUN_TIMESTAMP, out=Path(out))
if built.outcome != "ok":
    raise SystemExit(f"{built.outcome}: {built.message}")
javas = [one for one in psutil.Process().children(recursive=True) if one.name() == "java"]
told: dict[str, float] = {"python_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
for java in javas:
    kind = "executor_mb" if "CoarseGrainedExecutorBackend" in " ".join(java.cmdline()) else "driver_mb"
    told[kind] = told.get(kind, 0) + peak_mb(java)
engine.close()
sums = dict.fromkeys(
    ("shuffle_written", "shuffle_read", "spilled_memory", "spilled_disk", "task_s", "longest_task_s"), 0.0
)
for file in (folder / "events").iterdir():
    for line in file.read_text().splitlines():
        event = json.loads(line)
        if event["Event"] != "SparkListenerTaskEnd" or "Task Metrics" not in event:
            continue
        metrics = event["Task Metrics"]
        read = metrics["Shuffle Read Metrics"]
        sums["shuffle_written"] += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
        sums["shuffle_read"] += read["Remote Bytes Read"] + read["Local Bytes Read"]
        sums["spilled_memory"] += metrics["Memory Bytes Spilled"]
        sums["spilled_disk"] += metrics["Disk Bytes Spilled"]
        seconds = metrics["Executor Run Time"] / 1000
        sums["task_s"] += seconds
        sums["longest_task_s"] = max(sums["longest_task_s"], seconds)
files = [path.stat().st_size for path in (Path(out) / "wv_live_play").glob("part-*")]
told |= sums | {"rows": built.tables["wv_live_play"].rows, "files": len(files), "largest_file": max(files)}
shutil.rmtree(folder, ignore_errors=True)
sys.stdout.write(json.dumps(told) + "\n")
