"""The peer of `archive`: a structured stream of Spark from a topic to Parquet files by date and hour, exactly once.

Same columns, same compression, all cores. Reads a backlog from its beginning. Prints one line: events a second from the end of the first batch to
that of the last, and the highest resident memory of the JVM in MB.
"""

import argparse
import os
import pathlib
import time
from datetime import datetime, timedelta

from pyspark.sql import SparkSession
from pyspark.sql import functions as F


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topic", default="telemetry")
    parser.add_argument("--lake", required=True, help="hdfs://HOST:PORT/PATH")
    parser.add_argument("--jars", required=True, help="directory with the connector for Kafka")
    parser.add_argument("--columns", required=True, help="columns of an event, as SQL writes them")
    parser.add_argument("--events", type=int, required=True, help="ends when it has taken in so many")
    parser.add_argument("--batch", type=int, default=500_000, help="events of a batch at most")
    parser.add_argument("--limit", type=float, default=600, help="seconds")
    return parser.parse_args()


def session(jars):
    jars = ",".join(str(jar) for jar in sorted(pathlib.Path(jars).glob("*.jar")))
    # Else it listens on the machine's network.
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master("local[*]").appName("archive")
    for key, value in {
        "spark.jars": jars,
        "spark.driver.memory": "2g",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.log.level": "ERROR",
    }.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def stream(spark, a):
    records = (
        spark.readStream.format("kafka")
        .option("kafka.bootstrap.servers", a.bootstrap_servers)
        .option("subscribe", a.topic)
        .option("startingOffsets", "earliest")
        .option("maxOffsetsPerTrigger", a.batch)
        .option("includeHeaders", "true")
        .load()
    )
    event = F.from_json(F.col("value").cast("string"), a.columns)
    source = F.filter("headers", lambda h: h["key"] == "ce_source")[0]["value"].cast("string")
    rows = (
        records.withColumn("event", event)
        .select(
            F.col("partition").alias("kafka_partition"),
            F.col("offset").alias("kafka_offset"),
            F.col("timestamp").alias("kafka_time"),
            F.col("key").alias("kafka_key"),
            source.alias("source"),
            "event.*",
            F.when(F.col("event.vehicle").isNull(), F.col("value")).alias("raw"),
        )
        .withColumn("date", F.date_format("time", "yyyy-MM-dd"))
        .withColumn("hour", F.date_format("time", "HH"))
    )
    return (
        rows.writeStream.format("parquet")
        .partitionBy("date", "hour")
        .option("path", a.lake + "/data")
        .option("checkpointLocation", a.lake + "/checkpoint")
        .start()
    )


def end(progress):
    start = datetime.strptime(progress["timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ")
    return start + timedelta(milliseconds=progress["durationMs"]["triggerExecution"])


def peak(spark):
    pid = spark.sparkContext._jvm.ProcessHandle.current().pid()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) // 1024


def main():
    a = arguments()
    spark = session(a.jars)
    query = stream(spark, a)
    until = time.monotonic() + a.limit
    while True:
        if query.exception():
            raise query.exception()
        batches = [p for p in query.recentProgress if p["numInputRows"] > 0]
        done = sum(p["numInputRows"] for p in batches)
        if done >= a.events:
            break
        if time.monotonic() > until:
            raise SystemExit(f"{done} of {a.events} events after {a.limit} s")
        time.sleep(0.1)
    query.stop()
    if len(batches) < 2:
        raise SystemExit("one batch says nothing: give more events or a smaller --batch")
    took = (end(batches[-1]) - end(batches[0])).total_seconds()
    rate = (done - batches[0]["numInputRows"]) / took
    found = spark.read.parquet(a.lake + "/data").count()
    if found < done:
        raise SystemExit(f"{found} rows of {done} events")
    print(f"{rate:.2f} {peak(spark)}")


if __name__ == "__main__":
    main()
