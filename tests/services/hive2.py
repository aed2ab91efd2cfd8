"""What Hive 2.3.9 reads: its input format and its SerDe, without a server."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services import built_once, cache_folder, require, require_program
from tests.services.hadoop import OPENS
from tests.services.maven import Jar, fetch

VERSION, HADOOP = "2.3.9", "2.7.2"
JARS = (
    Jar("org.apache.hive", "hive-exec", VERSION, ("*",)),
    Jar("org.apache.hadoop", "hadoop-common", HADOOP),
    Jar("org.apache.hadoop", "hadoop-hdfs", HADOOP),
    Jar("org.apache.hadoop", "hadoop-mapreduce-client-core", HADOOP),
)
# As a fetch task of Hive reads: every split of a folder by the input format, every row by the SerDe.
READER = """
import java.io.PrintStream;
import java.util.*;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat;
import org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe;
import org.apache.hadoop.hive.serde2.objectinspector.*;
import org.apache.hadoop.io.*;
import org.apache.hadoop.mapred.*;

public class Read {
  public static void main(String[] folders) throws Exception {
    // Not standard output: that is where its Parquet logs.
    PrintStream out = new PrintStream(System.getProperty("out"), "UTF-8");
    JobConf job = new JobConf();
    Properties table = new Properties();
    for (String name : new String[] {"columns", "columns.types"}) {
      job.set(name, System.getProperty(name));
      table.setProperty(name, System.getProperty(name));
    }
    job.setBoolean("hive.io.file.read.all.columns", true);
    FileInputFormat.setInputPaths(job, Arrays.stream(folders).map(Path::new).toArray(Path[]::new));
    ParquetHiveSerDe serde = new ParquetHiveSerDe();
    serde.initialize(job, table);
    StructObjectInspector rows = (StructObjectInspector) serde.getObjectInspector();
    MapredParquetInputFormat format = new MapredParquetInputFormat();
    for (InputSplit split : format.getSplits(job, 1)) {
      RecordReader<NullWritable, ArrayWritable> reader = format.getRecordReader(split, job, Reporter.NULL);
      NullWritable key = reader.createKey();
      ArrayWritable value = reader.createValue();
      while (reader.next(key, value)) out.println(line(rows, serde.deserialize(value)));
    }
    out.close();
  }

  static String line(StructObjectInspector rows, Object row) throws Exception {
    List<Object> cells = new ArrayList<>();
    for (StructField field : rows.getAllStructFieldRefs()) {
      Object cell = ObjectInspectorUtils.copyToStandardJavaObject(
          rows.getStructFieldData(row, field), field.getFieldObjectInspector());
      cells.add(cell == null || cell instanceof Number ? cell : cell.toString());
    }
    return new org.codehaus.jackson.map.ObjectMapper().writeValueAsString(cells);
  }
}
"""


def _built() -> Path:
    """Return the folder of the jars and of the compiled reader, made once."""
    folder = cache_folder(f"hive-{VERSION}")
    with built_once(folder) as todo:
        if todo:
            jars = fetch(folder, "Hive 2", JARS)
            (folder / "Read.java").write_text(READER)
            compiler = require_program("javac")
            command = [compiler, "-cp", f"{jars}/*", "-d", str(folder), str(folder / "Read.java")]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            require("Hive 2", made.returncode == 0, f"its reader could not be compiled: {made.stderr[-500:]}")
    return folder


class CannotReadError(Exception):
    """Hive 2 failed at a file; the end of its output is the message."""


def read(folders: Sequence[str], columns: Mapping[str, str], *, zone: str = "UTC") -> list[list[Any]]:
    """Return the rows of all files in `folders` as Hive 2.3.9 shows them: numbers, texts, timestamps as text.

    Args:
        columns: names and Hive types of what stands in the files.
        zone: the machine's time zone, in which Hive 2 shows timestamps.

    Raises:
        CannotReadError: it reads them not.
    """
    built = _built()
    java = require_program("java")
    with tempfile.TemporaryDirectory(prefix="bigmama-hive2-") as scratch:
        out = Path(scratch) / "rows"
        asked = subprocess.run(
            [
                *(java, "-Xmx256m", "-XX:TieredStopAtLevel=1", *OPENS, f"-Duser.timezone={zone}", f"-Dout={out}"),
                *(f"-Dcolumns={','.join(columns)}", f"-Dcolumns.types={':'.join(columns.values())}"),
                *("-cp", f"{built}:{built}/jars/*", "Read", *folders),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if asked.returncode:
            raise CannotReadError(asked.stderr[-2000:])
        return [json.loads(line) for line in out.read_text(encoding="utf-8").split("\n") if line]
