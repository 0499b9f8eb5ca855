#!/usr/bin/env python3
"""Spark's own Kafka source on the topic that `kafka.rs` has filled, beside which it is measured.

  python3 -m venv venv && venv/bin/pip install pyspark==4.2.0
  # The jars of org.apache.spark:spark-sql-kafka-0-10_2.13:4.2.0 and what they need, without hadoop-client and scala-library:
  mvn dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=jars     # with a pom.xml that names it
  venv/bin/python connectors/benches/kafka_spark.py 127.0.0.1:9092 TOPIC jars

Each run is a streaming query of its own, available-now into the noop sink, in one thread as the others; the first is the warm-up.
"""
import glob
import os
import sys
import tempfile
import time

from pyspark.sql import SparkSession

servers, topic, jars = sys.argv[1:4]
needed = [jar for jar in glob.glob(os.path.join(jars, "*.jar")) if not os.path.basename(jar).startswith(("hadoop-", "scala-library", "slf4j"))]
spark = (SparkSession.builder.master("local[1]").config("spark.jars", ",".join(needed)).config("spark.ui.enabled", "false")
         .config("spark.driver.memory", "2g").getOrCreate())
spark.sparkContext.setLogLevel("ERROR")
pid = spark._jvm.java.lang.ProcessHandle.current().pid()


def cpu():
    """Seconds of all threads of the JVM, user and system."""
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(columns):
    records = (spark.readStream.format("kafka").option("kafka.bootstrap.servers", servers).option("subscribe", topic)
               .option("startingOffsets", "earliest").load().select(*columns))
    with tempfile.TemporaryDirectory() as checkpoint:
        started, before = time.time(), cpu()
        query = (records.writeStream.format("noop").option("checkpointLocation", checkpoint).trigger(availableNow=True).start())
        query.awaitTermination()
        seconds, used = time.time() - started, cpu() - before
        rows = sum(progress["numInputRows"] for progress in query.recentProgress)
    return rows, seconds, used


ALL = ("key", "value", "topic", "partition", "offset", "timestamp", "timestampType")
for name, columns in [("warm-up", ("value",))] + [("Spark, value only", ("value",)), ("Spark, all columns", ALL)] * 3:
    rows, seconds, used = run(columns)
    print(f"{name:<28} {rows / seconds:>10.0f} records/s {seconds:>6.2f} s {used:>6.2f} s of CPU", flush=True)
