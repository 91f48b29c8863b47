-- The definition of docs/scores.md, written a second time and independently. $ marks what score.py puts in.
CREATE MACRO plausible(a) AS CASE WHEN abs(a) <= $implausible THEN a END;

CREATE MACRO points(rate, worst) AS 100 * (1 - least(greatest(rate / worst, 0), 1));

CREATE TABLE readings AS
SELECT *, epoch_us(time) // 1000000 AS s
FROM read_parquet($files, union_by_name = true, hive_partitioning = false)
WHERE vehicle IS NOT NULL AND time IS NOT NULL AND epoch_us(time) >= $start AND epoch_us(time) < $end
QUALIFY sequence IS NULL
  OR row_number() OVER (PARTITION BY vehicle, time, sequence, source ORDER BY kafka_partition, kafka_offset) = 1;

CREATE TABLE vehicles AS
SELECT vehicle, first(model ORDER BY time, sequence NULLS FIRST, kafka_partition, kafka_offset) FILTER (model IS NOT NULL) AS model
FROM readings GROUP BY vehicle;

CREATE TABLE seconds AS
SELECT vehicle, s,
  first(hire ORDER BY time, sequence NULLS FIRST, kafka_partition, kafka_offset) AS hire,
  avg(speed) AS speed,
  avg(engine_speed) AS engine_speed,
  avg(acceleration_longitudinal) AS longitudinal_mean,
  avg(acceleration_lateral) AS lateral_mean,
  avg(yaw_rate) AS yaw_rate,
  avg(fuel_rate) AS fuel_rate,
  avg(mass_air_flow) AS air_flow,
  last(heading ORDER BY time, sequence NULLS FIRST, kafka_partition, kafka_offset) FILTER (heading IS NOT NULL) AS heading,
  last(speed_limit ORDER BY time, sequence NULLS FIRST, kafka_partition, kafka_offset) FILTER (speed_limit IS NOT NULL) AS speed_limit
FROM readings GROUP BY vehicle, s HAVING avg(speed) IS NOT NULL;

CREATE TABLE linked AS
SELECT *, sum(begins) OVER (PARTITION BY vehicle ORDER BY s) AS trip
FROM (
  SELECT *, lag(s) OVER v AS s0, lag(speed) OVER v AS speed0, lag(heading) OVER v AS heading0,
    CASE WHEN lag(s) OVER v IS NULL OR s - lag(s) OVER v > $trip_gap OR hire IS DISTINCT FROM lag(hire) OVER v THEN 1 ELSE 0 END AS begins
  FROM seconds WINDOW v AS (PARTITION BY vehicle ORDER BY s)
);

CREATE TABLE steps AS
SELECT *,
  speed_mean / 3.6 * dt AS metres,
  plausible(coalesce(longitudinal_mean, (speed - speed0) / 3.6 / dt)) AS ahead,
  plausible(coalesce(
    lateral_mean,
    radians(yaw_rate) * speed / 3.6,
    CASE WHEN speed0 >= $course_from AND speed >= $course_from
      THEN radians((fmod(heading - heading0 + 540, 360) - 180) / dt) * speed / 3.6 END
  )) AS sideways,
  coalesce(fuel_rate, air_flow * 3600 / $air_fuel_ratio / $fuel_density) AS litres_an_hour,
  coalesce(engine_speed >= $engine_from, false) AS runs,
  speed_mean >= $driving_from AS drives
FROM (
  SELECT *, s - s0 AS dt, (speed + speed0) / 2 AS speed_mean
  FROM linked WHERE begins = 0 AND s - s0 <= $longest_step
);

CREATE TABLE events AS
SELECT vehicle, trip,
  count(*) FILTER (a AND NOT coalesce(a0 AND next, false)) AS accelerations,
  count(*) FILTER (b AND NOT coalesce(b0 AND next, false)) AS brakings,
  count(*) FILTER (t AND NOT coalesce(t0 AND next, false)) AS turns
FROM (
  SELECT *, lag(a) OVER w AS a0, lag(b) OVER w AS b0, lag(t) OVER w AS t0, lag(s) OVER w = s0 AS next
  FROM (
    SELECT vehicle, trip, s, s0, coalesce(ahead >= $acceleration, false) AS a, coalesce(ahead <= -$braking, false) AS b,
      coalesce(abs(sideways) >= $turning, false) AS t
    FROM steps
  ) WINDOW w AS (PARTITION BY vehicle, trip ORDER BY s)
) GROUP BY vehicle, trip;

CREATE TABLE idling AS
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
) WHERE stood >= $idle_after GROUP BY vehicle, trip;

CREATE TABLE shifts AS
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
) GROUP BY vehicle, trip;

CREATE TABLE sums AS
SELECT vehicle, trip,
  sum(metres) AS distance_m,
  sum(dt) AS watched_s,
  coalesce(sum(dt) FILTER (drives), 0) AS driving_s,
  coalesce(sum(dt) FILTER (runs), 0) AS engine_s,
  coalesce(sum(metres) FILTER (sideways IS NOT NULL), 0) AS turning_distance_m,
  coalesce(sum(dt) FILTER (drives AND speed_mean > coalesce(speed_limit, $speed_limit) + $tolerance), 0) AS speeding_s,
  coalesce(sum(litres_an_hour / 3600 * dt) FILTER (reference IS NOT NULL), 0) AS fuel_l,
  coalesce(sum(reference / 100000 * metres) FILTER (litres_an_hour IS NOT NULL), 0) AS fuel_reference_l,
  coalesce(sum(metres) FILTER (litres_an_hour IS NOT NULL AND reference IS NOT NULL), 0) AS fuel_distance_m,
  coalesce(sum(dt) FILTER (drives AND night), 0) AS night_s
FROM (
  SELECT *,
    CASE WHEN $night_from <= $night_to THEN minute >= $night_from AND minute < $night_to
      ELSE minute >= $night_from OR minute < $night_to END AS night
  FROM (
    SELECT steps.*, r.litres AS reference,
      (s + $utc_offset) % 86400 // 60 AS minute
    FROM steps JOIN vehicles USING (vehicle)
    LEFT JOIN $references AS r ON r.model = vehicles.model
  )
) GROUP BY vehicle, trip;

CREATE TABLE trips AS
SELECT vehicle, model, hire, started, ended,
  distance_m, watched_s, driving_s, engine_s, accelerations AS harsh_accelerations, brakings AS harsh_brakings, turns AS harsh_turns,
  turning_distance_m, speeding_s, coalesce(idling, 0) AS idling_s, fuel_l, fuel_reference_l, fuel_distance_m, night_s,
  coalesce(long_shift, 0) AS long_shift_s
FROM sums
JOIN (SELECT vehicle, trip, any_value(hire) AS hire, min(s) AS started, max(s) AS ended FROM linked GROUP BY vehicle, trip) USING (vehicle, trip)
JOIN vehicles USING (vehicle)
JOIN events USING (vehicle, trip)
LEFT JOIN idling USING (vehicle, trip)
LEFT JOIN shifts USING (vehicle, trip)
WHERE driving_s > 0;

CREATE TABLE parts AS
SELECT *,
  points(harsh_accelerations / greatest(distance_m, $least) * 100000, $worst_acceleration) AS acceleration,
  points(harsh_brakings / greatest(distance_m, $least) * 100000, $worst_braking) AS braking,
  CASE WHEN turning_distance_m > 0 THEN points(harsh_turns / greatest(turning_distance_m, $least) * 100000, $worst_turning) END AS turning,
  points(speeding_s / driving_s, $worst_speeding) AS speeding,
  CASE WHEN engine_s > 0 THEN points(idling_s / engine_s, $worst_idling) END AS idling,
  CASE WHEN fuel_distance_m >= $least THEN points(fuel_l / fuel_reference_l - 1, $worst_economy) END AS economy,
  points(night_s / driving_s, $worst_night) AS night,
  points(long_shift_s / driving_s, $worst_long_shift) AS long_shift
FROM trips;

-- What rounding adds to a mean of nothing but 100s is taken off. Where nothing weighs anything there is no score.
SELECT * EXCLUDE (mean), CASE WHEN mean > 100 THEN 100 ELSE mean END AS score
FROM (
  SELECT *,
    list_sum(list_transform(list_zip([acceleration, braking, turning, speeding, idling, economy, night, long_shift], $weights),
      x -> x[1] * x[2]))
    / nullif(list_sum(list_transform(list_zip([acceleration, braking, turning, speeding, idling, economy, night, long_shift], $weights),
      x -> CASE WHEN x[1] IS NOT NULL THEN x[2] END)), 0) AS mean
  FROM parts
) ORDER BY vehicle, started;
