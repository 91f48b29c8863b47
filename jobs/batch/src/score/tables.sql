-- What `millrace-batch score` writes. A table is made once; columns that a later version adds are added here.
CREATE SCHEMA IF NOT EXISTS millrace;

CREATE TABLE IF NOT EXISTS millrace.score_runs (
  day date PRIMARY KEY,
  rows bigint NOT NULL,
  sum text NOT NULL,
  definition text NOT NULL,
  trips bigint NOT NULL,
  ran_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE millrace.score_runs IS 'Which days are scored, and from what: rows and sum of the lake, and the definition of the score';

CREATE TABLE IF NOT EXISTS millrace.score_since (
  only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  day date NOT NULL
);
COMMENT ON TABLE millrace.score_since IS 'One row: from this day on telemetry is scored, however late it comes';

CREATE TABLE IF NOT EXISTS millrace.trip_scores (
  day date NOT NULL,
  vehicle text NOT NULL,
  model text,
  hire text,
  started timestamptz NOT NULL,
  ended timestamptz NOT NULL,
  distance_m float8 NOT NULL,
  watched_s float8 NOT NULL,
  driving_s float8 NOT NULL,
  engine_s float8 NOT NULL,
  harsh_accelerations float8 NOT NULL,
  harsh_brakings float8 NOT NULL,
  harsh_turns float8 NOT NULL,
  turning_distance_m float8 NOT NULL,
  speeding_s float8 NOT NULL,
  idling_s float8 NOT NULL,
  fuel_l float8 NOT NULL,
  fuel_reference_l float8 NOT NULL,
  fuel_distance_m float8 NOT NULL,
  night_s float8 NOT NULL,
  long_shift_s float8 NOT NULL,
  score float8,
  acceleration float8,
  braking float8,
  turning float8,
  speeding float8,
  idling float8,
  economy float8,
  night float8,
  long_shift float8,
  PRIMARY KEY (day, vehicle, started)
);
CREATE INDEX IF NOT EXISTS trip_scores_hire ON millrace.trip_scores (hire) WHERE hire IS NOT NULL;
COMMENT ON TABLE millrace.trip_scores IS 'One row for each trip: what was driven, and its score, 0 to 100, with its parts';

CREATE TABLE IF NOT EXISTS millrace.hire_scores (
  hire text PRIMARY KEY,
  trips bigint NOT NULL,
  first_day date NOT NULL,
  last_day date NOT NULL,
  distance_m float8 NOT NULL,
  driving_s float8 NOT NULL,
  score float8,
  acceleration float8,
  braking float8,
  turning float8,
  speeding float8,
  idling float8,
  economy float8,
  night float8,
  long_shift float8
);
COMMENT ON TABLE millrace.hire_scores IS 'One row for each hire, by its pseudonym: all its trips weighted by what was driven';

CREATE TABLE IF NOT EXISTS millrace.hire_scores_untold (
  hire text PRIMARY KEY,
  since timestamptz NOT NULL
);
ALTER TABLE millrace.hire_scores_untold ADD COLUMN IF NOT EXISTS refused text;
COMMENT ON TABLE millrace.hire_scores_untold IS 'Hires whose new score nobody has heard of yet';
COMMENT ON COLUMN millrace.hire_scores_untold.refused IS 'What the gateway said when it did not take this one; it is sent again by each run, after all others';

CREATE TABLE IF NOT EXISTS millrace.week_scores (
  week date NOT NULL,
  vehicle text NOT NULL,
  hire text NOT NULL,
  trips bigint NOT NULL,
  distance_m float8 NOT NULL,
  driving_s float8 NOT NULL,
  score float8,
  acceleration float8,
  braking float8,
  turning float8,
  speeding float8,
  idling float8,
  economy float8,
  night float8,
  long_shift float8,
  PRIMARY KEY (week, vehicle, hire)
);
COMMENT ON TABLE millrace.week_scores IS 'One row for each vehicle and hire in a week (its Monday); hire is empty where there was none';

-- For those who may not know of hires.
CREATE SCHEMA IF NOT EXISTS analysts;
CREATE OR REPLACE VIEW analysts.trip_scores AS
SELECT day, vehicle, model, started, ended, distance_m, driving_s, score, acceleration, braking, turning, speeding, idling, economy
FROM millrace.trip_scores;
COMMENT ON VIEW analysts.trip_scores IS 'Scores of trips by vehicle and model, without hires; see docs/scores.md';
