"""A peer of `score`: the definition of docs/scores.md in Spark SQL. Reads the settings that jobs/batch/tests/duckdb/score.py takes.

python spark.py SETTINGS.json RUNS computes it so many times in one warm session, prints the trips of the last run as lines of JSON, and
then {"warm_seconds": …} of that run.
"""

import json
import os
import pathlib
import re
import sys
import time

from pyspark.sql import SparkSession

ORDER = "struct(time, sequence, kafka_partition, kafka_offset)"
PARTS = ["acceleration", "braking", "turning", "speeding", "idling", "economy", "night", "long_shift"]


def plausible(a):
    return f"CASE WHEN abs({a}) <= $implausible THEN {a} END"


def points(rate, worst):
    return f"100 * (1 - least(greatest(({rate}) / $worst_{worst}, 0), 1))"


def begins(column):
    return f"count_if({column} AND NOT coalesce({column}0 AND next, false))"


def weighed(values):
    return " + ".join(f"coalesce({value}, 0)" for value in values)


# Each view, in the order in which they need each other, and whether it is needed more than once.
VIEWS = [
    ("readings", True, """
SELECT vehicle, time, sequence, source, kafka_partition, kafka_offset, model, hire, speed, engine_speed, acceleration_longitudinal,
  acceleration_lateral, yaw_rate, fuel_rate, mass_air_flow, heading, speed_limit, unix_micros(time) div 1000000 AS s
FROM (
  SELECT *, row_number() OVER (PARTITION BY vehicle, time, sequence, source ORDER BY kafka_partition, kafka_offset) AS copy
  FROM files WHERE vehicle IS NOT NULL AND unix_micros(time) >= $start AND unix_micros(time) < $end
) WHERE sequence IS NULL OR copy = 1"""),
    ("vehicles", True, f"SELECT vehicle, min_by(model, {ORDER}) FILTER (WHERE model IS NOT NULL) AS model FROM readings GROUP BY vehicle"),
    ("seconds", False, f"""
SELECT vehicle, s, min_by(hire, {ORDER}) AS hire, avg(speed) AS speed, avg(engine_speed) AS engine_speed,
  avg(acceleration_longitudinal) AS longitudinal_mean, avg(acceleration_lateral) AS lateral_mean, avg(yaw_rate) AS yaw_rate,
  avg(fuel_rate) AS fuel_rate, avg(mass_air_flow) AS air_flow,
  max_by(heading, {ORDER}) FILTER (WHERE heading IS NOT NULL) AS heading,
  max_by(speed_limit, {ORDER}) FILTER (WHERE speed_limit IS NOT NULL) AS speed_limit
FROM readings GROUP BY vehicle, s HAVING avg(speed) IS NOT NULL"""),
    ("linked", True, """
SELECT *, sum(begins) OVER (PARTITION BY vehicle ORDER BY s) AS trip
FROM (
  SELECT *, lag(s) OVER v AS s0, lag(speed) OVER v AS speed0, lag(heading) OVER v AS heading0,
    CASE WHEN lag(s) OVER v IS NULL OR s - lag(s) OVER v > $trip_gap OR hire IS DISTINCT FROM lag(hire) OVER v THEN 1 ELSE 0 END AS begins
  FROM seconds WINDOW v AS (PARTITION BY vehicle ORDER BY s)
)"""),
    ("steps", True, f"""
SELECT *, speed_mean / 3.6D * dt AS metres, {plausible('ahead_raw')} AS ahead, {plausible('sideways_raw')} AS sideways
FROM (
  SELECT *, coalesce(longitudinal_mean, (speed - speed0) / 3.6D / dt) AS ahead_raw,
    coalesce(lateral_mean, radians(yaw_rate) * speed / 3.6D,
      CASE WHEN speed0 >= $course_from AND speed >= $course_from
        THEN radians(((heading - heading0 + 540) % 360 - 180) / dt) * speed / 3.6D END) AS sideways_raw,
    coalesce(fuel_rate, air_flow * 3600 / $air_fuel_ratio / $fuel_density) AS litres_an_hour,
    coalesce(engine_speed >= $engine_from, false) AS runs, speed_mean >= $driving_from AS drives
  FROM (
    SELECT *, s - s0 AS dt, (speed + speed0) / 2 AS speed_mean FROM linked WHERE begins = 0 AND s - s0 <= $longest_step
  )
)"""),
    ("events", False, f"""
SELECT vehicle, trip, {begins('a')} AS accelerations, {begins('b')} AS brakings, {begins('t')} AS turns
FROM (
  SELECT *, lag(a) OVER w AS a0, lag(b) OVER w AS b0, lag(t) OVER w AS t0, lag(s) OVER w = s0 AS next
  FROM (
    SELECT vehicle, trip, s, s0, coalesce(ahead >= $acceleration, false) AS a, coalesce(ahead <= -$braking, false) AS b,
      coalesce(abs(sideways) >= $turning, false) AS t
    FROM steps
  ) WINDOW w AS (PARTITION BY vehicle, trip ORDER BY s)
) GROUP BY vehicle, trip"""),
    ("idling", False, """
SELECT vehicle, trip, sum(stood) AS idling
FROM (
  SELECT vehicle, trip, island, sum(dt) AS stood
  FROM (
    SELECT *, sum(CASE WHEN idle AND coalesce(idle0 AND next, false) THEN 0 ELSE 1 END) OVER (PARTITION BY vehicle, trip ORDER BY s) AS island
    FROM (
      SELECT *, lag(idle) OVER w AS idle0, lag(s) OVER w = s0 AS next
      FROM (SELECT vehicle, trip, s, s0, dt, runs AND speed_mean < 1 AS idle FROM steps)
      WINDOW w AS (PARTITION BY vehicle, trip ORDER BY s)
    )
  ) WHERE idle GROUP BY vehicle, trip, island
) WHERE stood >= $idle_after GROUP BY vehicle, trip"""),
    ("shifts", False, """
SELECT vehicle, trip, sum(least(greatest(driven - $shift, 0), dt)) AS long_shift
FROM (
  SELECT *, sum(dt) OVER (PARTITION BY vehicle, shift ORDER BY s) AS driven
  FROM (
    SELECT *, sum(CASE WHEN last IS NULL OR s0 - last >= $shift_break OR hire IS DISTINCT FROM hire0 THEN 1 ELSE 0 END)
      OVER (PARTITION BY vehicle ORDER BY s) AS shift
    FROM (
      SELECT *, lag(s) OVER w AS last, lag(hire) OVER w AS hire0 FROM steps WHERE drives
      WINDOW w AS (PARTITION BY vehicle ORDER BY s)
    )
  )
) GROUP BY vehicle, trip"""),
    ("sums", False, """
SELECT vehicle, trip, sum(metres) AS distance_m, sum(dt) AS watched_s, sum(dt) FILTER (WHERE drives) AS driving_s,
  coalesce(sum(dt) FILTER (WHERE runs), 0) AS engine_s, coalesce(sum(metres) FILTER (WHERE sideways IS NOT NULL), 0) AS turning_distance_m,
  coalesce(sum(dt) FILTER (WHERE drives AND speed_mean > coalesce(speed_limit, $speed_limit) + $tolerance), 0) AS speeding_s,
  coalesce(sum(litres_an_hour / 3600 * dt) FILTER (WHERE reference IS NOT NULL), 0) AS fuel_l,
  coalesce(sum(reference / 100000 * metres) FILTER (WHERE litres_an_hour IS NOT NULL), 0) AS fuel_reference_l,
  coalesce(sum(metres) FILTER (WHERE litres_an_hour IS NOT NULL AND reference IS NOT NULL), 0) AS fuel_distance_m,
  coalesce(sum(dt) FILTER (WHERE drives AND night), 0) AS night_s
FROM (
  SELECT *, CASE WHEN $night_from <= $night_to THEN minute >= $night_from AND minute < $night_to
    ELSE minute >= $night_from OR minute < $night_to END AS night
  FROM (
    SELECT steps.*, r.litres AS reference, (s + $utc_offset) % 86400 div 60 AS minute
    FROM steps JOIN vehicles USING (vehicle) LEFT JOIN consumption AS r ON r.model = vehicles.model
  )
) GROUP BY vehicle, trip"""),
    ("trips", False, """
SELECT *, coalesce(idle_s, 0) AS idling_s, coalesce(long_s, 0) AS long_shift_s
FROM (
  SELECT sums.*, model, accelerations AS harsh_accelerations, brakings AS harsh_brakings, turns AS harsh_turns, whole.hire, whole.started,
    whole.ended, idling.idling AS idle_s, shifts.long_shift AS long_s
  FROM sums
  JOIN (SELECT vehicle, trip, any_value(hire) AS hire, min(s) AS started, max(s) AS ended FROM linked GROUP BY vehicle, trip) AS whole
    USING (vehicle, trip)
  JOIN vehicles USING (vehicle) JOIN events USING (vehicle, trip)
  LEFT JOIN idling USING (vehicle, trip) LEFT JOIN shifts USING (vehicle, trip)
) WHERE driving_s > 0"""),
    ("parts", False, f"""
SELECT *, {points('harsh_accelerations / greatest(distance_m, $least) * 100000', 'acceleration')} AS acceleration,
  {points('harsh_brakings / greatest(distance_m, $least) * 100000', 'braking')} AS braking,
  CASE WHEN turning_distance_m > 0 THEN {points('harsh_turns / greatest(turning_distance_m, $least) * 100000', 'turning')} END AS turning,
  {points('speeding_s / driving_s', 'speeding')} AS speeding,
  CASE WHEN engine_s > 0 THEN {points('idling_s / engine_s', 'idling')} END AS idling,
  CASE WHEN fuel_distance_m >= $least THEN {points('fuel_l / fuel_reference_l - 1', 'economy')} END AS economy,
  {points('night_s / driving_s', 'night')} AS night, {points('long_shift_s / driving_s', 'long_shift')} AS long_shift
FROM trips"""),
]


def compute(spark, settings):
    kept = []

    def put_in(match):
        value = settings[match.group(1)]
        return f"{value!r}D" if isinstance(value, float) else repr(value)

    spark.read.parquet(*settings["files"]).createOrReplaceTempView("files")
    references = list(settings["references"].items())
    spark.createDataFrame(references, "model string, litres double").createOrReplaceTempView("consumption")
    for name, again, sql in VIEWS:
        view = spark.sql(re.sub(r"\$([a-z_]+)\b", put_in, sql))
        if again:
            kept.append(view.cache())
        view.createOrReplaceTempView(name)
    weights = dict(zip(PARTS, settings["weights"]))
    total = weighed(f"{part} * {weights[part]}D" for part in PARTS)
    weight = weighed(f"CASE WHEN {part} IS NOT NULL THEN {weights[part]}D END" for part in PARTS)
    rows = spark.sql(f"SELECT *, ({total}) / ({weight}) AS score FROM parts ORDER BY vehicle, started").collect()
    for view in kept:
        view.unpersist(blocking=True)
    return rows


def main():
    settings = json.loads(pathlib.Path(sys.argv[1]).read_text())
    # Else it listens on the machine's network.
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    builder = SparkSession.builder.master("local[2]").appName("score")
    for key, value in {
        "spark.driver.memory": "4g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.log.level": "ERROR",
    }.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    for _ in range(int(sys.argv[2])):
        began = time.monotonic()
        rows = compute(spark, settings)
        took = time.monotonic() - began
    for row in rows:
        print(json.dumps(row.asDict(), default=float))
    print(json.dumps({"warm_seconds": took}))


if __name__ == "__main__":
    main()
