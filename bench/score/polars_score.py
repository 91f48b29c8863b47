"""A peer of `score`: the definition of docs/scores.md in Polars. Reads the settings that jobs/batch/tests/duckdb/score.py takes.

python polars_score.py SETTINGS.json prints one line of JSON for each trip.
"""

import json
import math
import pathlib
import sys

import polars as pl
from polars import col

settings = json.loads(pathlib.Path(sys.argv[1]).read_text())
S = settings
ORDER = ["time", "sequence", "kafka_partition", "kafka_offset"]
TRIP = ["vehicle", "trip"]
PARTS = ["acceleration", "braking", "turning", "speeding", "idling", "economy", "night", "long_shift"]
SIGNALS = ["speed", "engine_speed", "acceleration_longitudinal", "acceleration_lateral", "yaw_rate", "fuel_rate", "mass_air_flow"]
COLUMNS = ["vehicle", "source", "model", "hire", "heading", "speed_limit", *ORDER, *SIGNALS]


def plausible(a):
    return pl.when(a.abs() <= S["implausible"]).then(a)


def points(rate, worst):
    return 100 * (1 - (rate / S["worst_" + worst]).clip(0, 1))


def known_last(name):
    return col(name).drop_nulls().last()


def differs(a, b):
    return a.ne_missing(b)


micros = col("time").dt.epoch("us")
readings = (
    pl.scan_parquet(S["files"], missing_columns="insert", extra_columns="ignore")
    .select(COLUMNS)
    .filter(col("vehicle").is_not_null() & (micros >= S["start"]) & (micros < S["end"]))
    .sort(ORDER, nulls_last=False)
    .with_columns(s=micros // 1_000_000, copy=pl.int_range(pl.len()).over("vehicle", "time", "sequence", "source"))
    .filter(col("sequence").is_null() | (col("copy") == 0))
    .collect()
)
vehicles = readings.group_by("vehicle").agg(model=col("model").drop_nulls().first())
references = pl.DataFrame(list(S["references"].items()), schema={"model": pl.String, "reference": pl.Float64}, orient="row")

before = lambda name: col(name).shift(1).over("vehicle", order_by="s")
linked = (
    readings.group_by("vehicle", "s", maintain_order=True)
    .agg(
        col("hire").first(),
        *[col(name).mean() for name in SIGNALS],
        heading=known_last("heading"),
        speed_limit=known_last("speed_limit"),
    )
    .filter(col("speed").is_not_null())
    .sort("vehicle", "s")
    .with_columns(s0=before("s"), speed0=before("speed"), heading0=before("heading"), hire0=before("hire"))
    .with_columns(begins=col("s0").is_null() | (col("s") - col("s0") > S["trip_gap"]) | differs(col("hire"), col("hire0")))
    .with_columns(trip=col("begins").cast(pl.Int64).cum_sum().over("vehicle"))
)
course = ((col("heading") - col("heading0") + 540) % 360 - 180) / col("dt")
steps = (
    linked.filter(~col("begins") & (col("s") - col("s0") <= S["longest_step"]))
    .with_columns(dt=col("s") - col("s0"), speed_mean=(col("speed") + col("speed0")) / 2)
    .with_columns(
        metres=col("speed_mean") / 3.6 * col("dt"),
        ahead=plausible(pl.coalesce("acceleration_longitudinal", (col("speed") - col("speed0")) / 3.6 / col("dt"))),
        sideways=plausible(
            pl.coalesce(
                "acceleration_lateral",
                col("yaw_rate").radians() * col("speed") / 3.6,
                pl.when((col("speed0") >= S["course_from"]) & (col("speed") >= S["course_from"])).then(course.radians() * col("speed") / 3.6),
            )
        ),
        litres_an_hour=pl.coalesce("fuel_rate", col("mass_air_flow") * 3600 / S["air_fuel_ratio"] / S["fuel_density"]),
        runs=(col("engine_speed") >= S["engine_from"]).fill_null(False),
        drives=col("speed_mean") >= S["driving_from"],
    )
    .join(vehicles, on="vehicle")
    .join(references, on="model", how="left", maintain_order="left")
    .sort("vehicle", "s")
)
minute = (col("s") + S["utc_offset"]) % 86400 // 60
since, until = minute >= S["night_from"], minute < S["night_to"]
steps = steps.with_columns(
    night_now=(since & until) if S["night_from"] <= S["night_to"] else (since | until),
    follows=(col("s").shift(1).over(TRIP) == col("s0")).fill_null(False),
    a=(col("ahead") >= S["acceleration"]).fill_null(False),
    b=(col("ahead") <= -S["braking"]).fill_null(False),
    t=(col("sideways").abs() >= S["turning"]).fill_null(False),
    idle=col("runs") & (col("speed_mean") < 1),
)


def begun(name):
    return (col(name) & ~(col(name).shift(1).over(TRIP).fill_null(False) & col("follows"))).alias(name + "_begun")


steps = steps.with_columns(*map(begun, ["a", "b", "t"]), island=(~(col("idle") & col("idle").shift(1).over(TRIP).fill_null(False) & col("follows"))).cast(pl.Int64).cum_sum().over(TRIP))
idling = (
    steps.filter("idle")
    .group_by(*TRIP, "island")
    .agg(stood=col("dt").sum())
    .filter(col("stood") >= S["idle_after"])
    .group_by(TRIP)
    .agg(idling_s=col("stood").sum())
)
shifts = (
    steps.filter("drives")
    .with_columns(last=col("s").shift(1).over("vehicle"), hire_before=col("hire").shift(1).over("vehicle"))
    .with_columns(
        shift=(col("last").is_null() | (col("s0") - col("last") >= S["shift_break"]) | differs(col("hire"), col("hire_before")))
        .cast(pl.Int64)
        .cum_sum()
        .over("vehicle")
    )
    .with_columns(driven=col("dt").cum_sum().over("vehicle", "shift"))
    .group_by(TRIP)
    .agg(long_shift_s=pl.min_horizontal((col("driven") - S["shift"]).clip(0), col("dt")).sum())
)
total = lambda what, where: what.filter(where).sum()
knows_fuel, knows_reference = col("litres_an_hour").is_not_null(), col("reference").is_not_null()
sums = steps.group_by(TRIP).agg(
    distance_m=col("metres").sum(),
    watched_s=col("dt").sum(),
    driving_s=total(col("dt"), col("drives")),
    engine_s=total(col("dt"), col("runs")),
    harsh_accelerations=col("a_begun").sum(),
    harsh_brakings=col("b_begun").sum(),
    harsh_turns=col("t_begun").sum(),
    turning_distance_m=total(col("metres"), col("sideways").is_not_null()),
    speeding_s=total(col("dt"), col("drives") & (col("speed_mean") > col("speed_limit").fill_null(S["speed_limit"]) + S["tolerance"])),
    fuel_l=total(col("litres_an_hour") / 3600 * col("dt"), knows_reference),
    fuel_reference_l=total(col("reference") / 100_000 * col("metres"), knows_fuel),
    fuel_distance_m=total(col("metres"), knows_fuel & knows_reference),
    night_s=total(col("dt"), col("drives") & col("night_now")),
)
whole = linked.group_by(TRIP).agg(hire=col("hire").first(), started=col("s").min(), ended=col("s").max())
far = lambda name: pl.max_horizontal(col(name), pl.lit(S["least"]))
trips = (
    sums.filter(col("driving_s") > 0)
    .join(whole, on=TRIP)
    .join(vehicles, on="vehicle")
    .join(idling, on=TRIP, how="left")
    .join(shifts, on=TRIP, how="left")
    .with_columns(col("idling_s", "long_shift_s").fill_null(0))
    .with_columns(
        acceleration=points(col("harsh_accelerations") / far("distance_m") * 100_000, "acceleration"),
        braking=points(col("harsh_brakings") / far("distance_m") * 100_000, "braking"),
        turning=pl.when(col("turning_distance_m") > 0).then(points(col("harsh_turns") / far("turning_distance_m") * 100_000, "turning")),
        speeding=points(col("speeding_s") / col("driving_s"), "speeding"),
        idling=pl.when(col("engine_s") > 0).then(points(col("idling_s") / col("engine_s"), "idling")),
        economy=pl.when(col("fuel_distance_m") >= S["least"]).then(points(col("fuel_l") / col("fuel_reference_l") - 1, "economy")),
        night=points(col("night_s") / col("driving_s"), "night"),
        long_shift=points(col("long_shift_s") / col("driving_s"), "long_shift"),
    )
    .sort("vehicle", "started")
)
weights = dict(zip(PARTS, S["weights"]))
weight = pl.sum_horizontal(pl.when(col(part).is_not_null()).then(weights[part]) for part in PARTS)
trips = trips.with_columns(score=pl.sum_horizontal(col(part) * weights[part] for part in PARTS) / weight)
for row in trips.iter_rows(named=True):
    print(json.dumps(row))
