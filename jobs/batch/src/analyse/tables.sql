-- What `millrace-batch analyse` fills: a schema of its own, in which nothing leads to a person. Tables are made once; columns that
-- a later version adds are added here.
SELECT pg_advisory_xact_lock(7883952506660156258);
CREATE SCHEMA IF NOT EXISTS analysts;
COMMENT ON SCHEMA analysts IS 'What analysts ask for, by vehicle: no hires, no pseudonyms, no names. See docs/analysts.md';

CREATE TABLE IF NOT EXISTS analysts.loads (
  dataset text NOT NULL,
  day date NOT NULL,
  rows bigint NOT NULL,
  sum text NOT NULL,
  unreadable bigint NOT NULL,
  loaded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (dataset, day)
);
COMMENT ON TABLE analysts.loads IS 'Which days (UTC) of which dataset of the lake are loaded, and from what: its rows and sum; events of it that could not be read';

CREATE TABLE IF NOT EXISTS analysts.run (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  as_of timestamptz NOT NULL,
  gone_after interval NOT NULL,
  stands_for interval NOT NULL,
  ran_at timestamptz NOT NULL
);
COMMENT ON TABLE analysts.run IS 'One row: until when events are known (not included), and settings of the last run';

CREATE TABLE IF NOT EXISTS analysts.vehicle_events (
  vehicle text NOT NULL,
  id text NOT NULL,
  time timestamptz NOT NULL,
  kind text NOT NULL,
  component text,
  odometer_m float8,
  model text,
  note text,
  kafka_partition int NOT NULL,
  kafka_offset bigint NOT NULL,
  PRIMARY KEY (vehicle, id)
);
CREATE INDEX IF NOT EXISTS vehicle_events_time ON analysts.vehicle_events (vehicle, time);
COMMENT ON TABLE analysts.vehicle_events IS 'Checks, repairs, maintenance, breakdowns and hires, each id of a vehicle once: the first that was told';
COMMENT ON COLUMN analysts.vehicle_events.component IS 'What it is about; empty: the vehicle as a whole';
COMMENT ON COLUMN analysts.vehicle_events.odometer_m IS 'Distance travelled in the life of the vehicle, in m';
COMMENT ON COLUMN analysts.vehicle_events.note IS 'Code of what was found or done, such as P0217';

CREATE TABLE IF NOT EXISTS analysts.pressure_alerts (
  id text PRIMARY KEY,
  vehicle text NOT NULL,
  time timestamptz NOT NULL,
  rule text NOT NULL,
  model text,
  tyre text
);
CREATE INDEX IF NOT EXISTS pressure_alerts_time ON analysts.pressure_alerts (vehicle, time);
COMMENT ON TABLE analysts.pressure_alerts IS 'Alerts of slow-puncture and tyre-pressure-low; time: of the measurement that raised it';
COMMENT ON COLUMN analysts.pressure_alerts.tyre IS 'The tyre as vehicle_events.component has it; empty: not known which';

CREATE TABLE IF NOT EXISTS analysts.vehicle_days (
  vehicle text NOT NULL,
  day date NOT NULL,
  model text,
  first_seen timestamptz NOT NULL,
  last_seen timestamptz NOT NULL,
  readings bigint NOT NULL,
  first_at timestamptz,
  first_m float8,
  highest_at timestamptz,
  highest_m float8,
  last_at timestamptz,
  last_m float8,
  PRIMARY KEY (vehicle, day)
);
COMMENT ON TABLE analysts.vehicle_days IS 'Telemetry by vehicle and day (UTC): when it was seen, and its first, highest and last odometer in m with their times';

CREATE TABLE IF NOT EXISTS analysts.road_stretches (
  vehicle text NOT NULL,
  began timestamptz NOT NULL,
  ended timestamptz NOT NULL CHECK (ended >= began),
  metres float8 NOT NULL CHECK (metres >= 0 AND metres < 'Infinity'),
  highway float8 NOT NULL DEFAULT 0 CHECK (highway BETWEEN 0 AND 1.01),
  main float8 NOT NULL DEFAULT 0 CHECK (main BETWEEN 0 AND 1.01),
  village float8 NOT NULL DEFAULT 0 CHECK (village BETWEEN 0 AND 1.01),
  PRIMARY KEY (vehicle, began),
  CHECK (highway + main + village <= 1.01)
);
COMMENT ON TABLE analysts.road_stretches IS 'Filled from outside, where positions are matched to a map: stretches, with the share (0 to 1) that was driven on roads of each kind; what no share is given of is unknown';

CREATE TABLE IF NOT EXISTS analysts.left_out (
  vehicle text PRIMARY KEY,
  why text NOT NULL
);
COMMENT ON TABLE analysts.left_out IS 'Vehicles that questions 1 and 2 are answered without, and question 4 but for their stretches, and why';

CREATE TABLE IF NOT EXISTS analysts.engine_distances (
  vehicle text NOT NULL,
  model text NOT NULL,
  number int NOT NULL,
  km float8 NOT NULL,
  failed boolean NOT NULL,
  PRIMARY KEY (vehicle, number)
);
COMMENT ON TABLE analysts.engine_distances IS 'Distances that vehicles drove up to a breakdown of the engine (failed), or so far (not failed: at least so far)';

CREATE TABLE IF NOT EXISTS analysts.answers (
  question text NOT NULL,
  scope text NOT NULL,
  measure text NOT NULL,
  method text NOT NULL,
  estimate float8,
  low float8,
  high float8,
  unit text NOT NULL,
  events bigint NOT NULL,
  censored bigint,
  exposure float8,
  note text,
  as_of timestamptz NOT NULL,
  PRIMARY KEY (question, scope, measure, method)
);
COMMENT ON TABLE analysts.answers IS 'The answers of the last run: estimate with limits at 95 %. Without an estimate the note says why';
COMMENT ON COLUMN analysts.answers.question IS 'requests, engine, pressure or roads';
COMMENT ON COLUMN analysts.answers.scope IS 'Of what: a model (engine: all, or model: and its name), which breakdowns count, a kind of road';
COMMENT ON COLUMN analysts.answers.events IS 'Requests or breakdowns counted';
COMMENT ON COLUMN analysts.answers.censored IS 'Lifetimes that had not ended with a breakdown';
COMMENT ON COLUMN analysts.answers.exposure IS 'All that was observed: thousands of km, months, km or hours, by the unit';

CREATE OR REPLACE VIEW analysts.vehicles AS
WITH seen AS (
  SELECT vehicle, min(first) AS first, max(last) AS last FROM (
    SELECT vehicle, first_seen AS first, last_seen AS last FROM analysts.vehicle_days
    UNION ALL SELECT vehicle, time, time FROM analysts.vehicle_events
    UNION ALL SELECT vehicle, time, time FROM analysts.pressure_alerts) AS s
  GROUP BY vehicle
), odometers AS (
  SELECT vehicle, first_at AS time, first_m AS m FROM analysts.vehicle_days WHERE first_m IS NOT NULL
  UNION ALL SELECT vehicle, highest_at, highest_m FROM analysts.vehicle_days WHERE highest_m IS NOT NULL
  UNION ALL SELECT vehicle, time, odometer_m FROM analysts.vehicle_events WHERE odometer_m IS NOT NULL
), driven AS (
  SELECT vehicle, (max(m) - (array_agg(m ORDER BY time, m))[1]) / 1000 AS km FROM odometers GROUP BY vehicle
), models AS (
  SELECT DISTINCT ON (vehicle) vehicle, model FROM (
    SELECT vehicle, last_seen AS time, model FROM analysts.vehicle_days
    UNION ALL SELECT vehicle, time, model FROM analysts.vehicle_events
    UNION ALL SELECT vehicle, time, model FROM analysts.pressure_alerts) AS m
  WHERE model IS NOT NULL ORDER BY vehicle, time DESC, model
)
SELECT s.vehicle, coalesce(m.model, 'unknown') AS model, s.first AS observed_from,
  CASE WHEN r.as_of - s.last > r.gone_after THEN s.last + interval '1 microsecond' ELSE r.as_of END AS observed_until,
  coalesce(d.km, 0) AS km,
  l.vehicle IS NOT NULL AS left_out
FROM seen s CROSS JOIN analysts.run r
LEFT JOIN driven d USING (vehicle) LEFT JOIN models m USING (vehicle) LEFT JOIN analysts.left_out l USING (vehicle);
COMMENT ON VIEW analysts.vehicles IS 'Each vehicle: its model as last told, when it was observed (the end not included), and what it drove meanwhile';

CREATE OR REPLACE VIEW analysts.request_rates AS
WITH counted AS (
  SELECT e.vehicle, count(*) FILTER (WHERE e.kind = 'check') AS checks, count(*) FILTER (WHERE e.kind = 'repair') AS repairs,
    count(*) FILTER (WHERE e.kind = 'maintenance') AS maintenance
  FROM analysts.vehicle_events e JOIN analysts.vehicles v USING (vehicle)
  WHERE e.time >= v.observed_from AND e.time < v.observed_until
  GROUP BY e.vehicle
), models AS (
  SELECT v.model, count(*) AS vehicles, coalesce(sum(c.checks), 0)::bigint AS checks, coalesce(sum(c.repairs), 0)::bigint AS repairs,
    coalesce(sum(c.maintenance), 0)::bigint AS maintenance,
    (sum(extract(epoch FROM v.observed_until - v.observed_from)) / 3600 / 730.5)::float8 AS vehicle_months,
    sum(v.km) AS km
  FROM analysts.vehicles v LEFT JOIN counted c USING (vehicle)
  WHERE NOT v.left_out
  GROUP BY v.model
)
SELECT model, vehicles, checks, repairs, maintenance, checks + repairs + maintenance AS requests, vehicle_months, km,
  (checks + repairs + maintenance) / nullif(vehicle_months, 0) AS per_month,
  (checks + repairs + maintenance) / nullif(km / 1000, 0) AS per_1000_km
FROM models
ORDER BY per_1000_km NULLS LAST, per_month;
COMMENT ON VIEW analysts.request_rates IS 'Question 1: checks, repairs and maintenance by model, the fewest per 1,000 km first; limits are in the view fewest_requests';

CREATE OR REPLACE VIEW analysts.pressure_drops AS
WITH scopes (breakdowns) AS (VALUES ('any'), ('tyre')), ends AS (
  SELECT s.breakdowns, a.vehicle, v.model, a.tyre, a.time, v.observed_until, b.time AS broken, t.time AS attended
  FROM analysts.pressure_alerts a CROSS JOIN scopes s JOIN analysts.vehicles v USING (vehicle)
  CROSS JOIN LATERAL (SELECT min(e.time) AS time FROM analysts.vehicle_events e
    WHERE e.vehicle = a.vehicle AND e.time > a.time AND e.time <= v.observed_until AND e.kind = 'breakdown'
      AND (s.breakdowns = 'any' OR e.component IN ('tyre', 'tyre_front_left', 'tyre_front_right', 'tyre_rear_left', 'tyre_rear_right'))) b
  CROSS JOIN LATERAL (SELECT min(e.time) AS time FROM analysts.vehicle_events e
    WHERE e.vehicle = a.vehicle AND e.time > a.time AND e.time <= v.observed_until AND e.kind IN ('check', 'repair', 'maintenance')
      AND (e.component IS NULL OR e.component = 'tyre' OR e.component = a.tyre
        OR (a.tyre IS NULL AND e.component IN ('tyre_front_left', 'tyre_front_right', 'tyre_rear_left', 'tyre_rear_right')))) t
  WHERE a.time < v.observed_until
)
SELECT breakdowns, vehicle, model, tyre, min(time) AS began, least(broken, attended, observed_until) AS ended,
  coalesce(broken <= least(broken, attended), false) AS failed,
  (extract(epoch FROM least(broken, attended, observed_until) - min(time)) / 3600)::float8 AS hours
FROM ends
GROUP BY breakdowns, vehicle, model, tyre, broken, attended, observed_until;
COMMENT ON VIEW analysts.pressure_drops IS 'Question 3: each drop of a tyre''s pressure, joined with what ended it: a breakdown (failed), that it was seen to, or the end of the observation. breakdowns: which ones count, any or those of tyres';

CREATE OR REPLACE VIEW analysts.lifetimes AS
SELECT 'engine'::text AS question, 'all'::text AS scope, vehicle, km AS length, failed FROM analysts.engine_distances
UNION ALL SELECT 'engine', 'model: ' || model, vehicle, km, failed FROM analysts.engine_distances
UNION ALL SELECT 'pressure', breakdowns, vehicle, hours, failed FROM analysts.pressure_drops;
COMMENT ON VIEW analysts.lifetimes IS 'Questions 2 and 3: how long (engine: km, pressure: hours) it went on, and whether it ended with the breakdown; if not, it lasted at least so long';

CREATE OR REPLACE VIEW analysts.survival AS
WITH equal AS (
  SELECT question, scope, length, count(*) FILTER (WHERE failed) AS failed,
    (sum(count(*)) OVER (PARTITION BY question, scope ORDER BY length DESC))::bigint AS at_risk
  FROM analysts.lifetimes GROUP BY question, scope, length
), steps AS (
  SELECT question, scope, length, at_risk, failed,
    CASE WHEN bool_or(failed = at_risk) OVER upto THEN 0
      ELSE exp(sum(CASE WHEN failed < at_risk THEN ln(1 - failed::float8 / at_risk) ELSE 0 END) OVER upto) END AS survival,
    sum(CASE WHEN failed < at_risk THEN failed::float8 / (at_risk * (at_risk - failed)) ELSE 0 END) OVER upto AS sum
  FROM equal WHERE failed > 0
  WINDOW upto AS (PARTITION BY question, scope ORDER BY length)
)
SELECT question, scope, length, at_risk, failed, survival, survival * survival * sum AS variance FROM steps;
COMMENT ON VIEW analysts.survival IS 'Kaplan and Meier: the share that goes on for longer than length, at each length at which something failed; variance: Greenwood''s';

CREATE OR REPLACE VIEW analysts.road_breakdowns AS
WITH told AS (
  SELECT e.*, lag(time) OVER (PARTITION BY vehicle, component ORDER BY time, id) AS before
  FROM analysts.vehicle_events e WHERE kind = 'breakdown'
)
SELECT t.vehicle, t.id, t.time, t.component,
  CASE WHEN s.vehicle IS NULL THEN 'unknown'
    WHEN s.highway >= greatest(s.main, s.village, 1 - s.highway - s.main - s.village) THEN 'highway'
    WHEN s.main >= greatest(s.village, 1 - s.highway - s.main - s.village) THEN 'main'
    WHEN s.village >= 1 - s.highway - s.main - s.village THEN 'village'
    ELSE 'unknown' END AS road,
  s.vehicle IS NOT NULL OR coalesce(v.km > 0 AND NOT v.left_out, false) AS counted
FROM told t CROSS JOIN analysts.run r
LEFT JOIN LATERAL (SELECT * FROM analysts.road_stretches s
  WHERE s.vehicle = t.vehicle AND s.began <= t.time AND s.ended >= t.time - r.stands_for
  ORDER BY s.began DESC LIMIT 1) s ON true
LEFT JOIN analysts.vehicles v ON v.vehicle = t.vehicle
WHERE t.before IS NULL OR t.time - t.before > interval '1 hour';
COMMENT ON VIEW analysts.road_breakdowns IS 'Question 4: each breakdown with the kind of road on which the vehicle stood; of one component within an hour of the one before it is the same. counted: it was on a stretch, or odometers tell what the vehicle drove';

CREATE OR REPLACE VIEW analysts.road_rates AS
WITH parts AS (
  SELECT vehicle, highway, main, village, metres / 1000 / greatest(1, highway + main + village) AS km,
    greatest(0, 1 - highway - main - village) AS rest
  FROM analysts.road_stretches
), matched AS (
  SELECT vehicle, sum(km * highway) AS highway, sum(km * main) AS main, sum(km * village) AS village, sum(km * rest) AS rest,
    sum(km * (highway + main + village + rest)) AS km
  FROM parts GROUP BY vehicle
), odometers AS (
  SELECT vehicle, km FROM analysts.vehicles WHERE NOT left_out
), driven AS (
  SELECT coalesce(sum(m.highway), 0) AS highway, coalesce(sum(m.main), 0) AS main, coalesce(sum(m.village), 0) AS village,
    coalesce(sum(m.rest), 0) + coalesce(sum(greatest(0, o.km - coalesce(m.km, 0))), 0) AS unknown
  FROM matched m FULL JOIN odometers o USING (vehicle)
), roads AS (
  SELECT r.road, r.km FROM driven d
  CROSS JOIN LATERAL (VALUES ('highway', d.highway), ('main', d.main), ('village', d.village), ('unknown', d.unknown)) AS r (road, km)
)
SELECT r.road, r.km, count(b.id) AS breakdowns, count(b.id) / nullif(r.km / 1000, 0) AS per_1000_km
FROM roads r LEFT JOIN analysts.road_breakdowns b ON b.road = r.road AND b.counted
GROUP BY r.road, r.km;
COMMENT ON VIEW analysts.road_rates IS 'Question 4: breakdowns per 1,000 km by kind of road; what a vehicle drove by its odometers beyond its stretches is unknown. Limits and the comparison are in the view highway_against_village';

CREATE OR REPLACE VIEW analysts.fewest_requests AS
SELECT r.model, r.vehicles, r.checks, r.repairs, r.maintenance, r.km, r.vehicle_months,
  k.estimate AS per_1000_km, k.low AS per_1000_km_low, k.high AS per_1000_km_high,
  m.estimate AS per_month, m.low AS per_month_low, m.high AS per_month_high, m.as_of
FROM analysts.request_rates r
JOIN analysts.answers m ON m.question = 'requests' AND m.scope = r.model AND m.measure = 'per month'
LEFT JOIN analysts.answers k ON k.question = 'requests' AND k.scope = r.model AND k.measure = 'per 1000 km'
ORDER BY k.estimate NULLS LAST, m.estimate;
COMMENT ON VIEW analysts.fewest_requests IS 'The answer to question 1: which models ask for the fewest checks, repairs and maintenance, with limits at 95 %';

CREATE OR REPLACE VIEW analysts.engine_breakdowns AS
SELECT scope, measure, method, estimate, low, high, unit, events AS breakdowns, censored, exposure AS km, note, as_of
FROM analysts.answers WHERE question = 'engine' ORDER BY scope <> 'all', scope, measure, method;
COMMENT ON VIEW analysts.engine_breakdowns IS 'The answer to question 2: how far vehicles drive before the engine breaks down, of all and by model, with limits at 95 %';

CREATE OR REPLACE VIEW analysts.pressure_to_breakdown AS
SELECT scope AS breakdowns_counted, measure, method, estimate, low, high, unit, events AS breakdowns, censored, exposure AS hours, note, as_of
FROM analysts.answers WHERE question = 'pressure' ORDER BY scope, measure, method;
COMMENT ON VIEW analysts.pressure_to_breakdown IS 'The answer to question 3: how long from a pressure drop that nobody sees to, to a breakdown, with limits at 95 %';

CREATE OR REPLACE VIEW analysts.highway_against_village AS
SELECT scope AS road, measure, method, estimate, low, high, unit, events AS breakdowns, exposure, note, as_of
FROM analysts.answers WHERE question = 'roads' ORDER BY scope, measure;
COMMENT ON VIEW analysts.highway_against_village IS 'The answer to question 4: breakdowns by kind of road, and their ratio, with limits at 95 %';
