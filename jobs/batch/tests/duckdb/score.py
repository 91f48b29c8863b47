"""Computes scores with DuckDB: python score.py SETTINGS.json prints one line of JSON for each trip, or with "by" for each of what
trips add up to: "by": ["hire"], or of a week ["vehicle", "hire"]."""

import json
import pathlib
import re
import sys

import duckdb

settings = json.loads(pathlib.Path(sys.argv[1]).read_text())

SUMS = (
    "distance_m watched_s driving_s engine_s harsh_accelerations harsh_brakings harsh_turns turning_distance_m speeding_s"
    " idling_s fuel_l fuel_reference_l fuel_distance_m night_s long_shift_s"
).split()


def literal(value):
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, list):
        return "[" + ", ".join(map(literal, value)) + "]"
    return repr(value)


def put_in(match):
    name = match.group(1)
    if name == "references":
        rows = ", ".join(f"({literal(m)}, {literal(l)})" for m, l in settings["references"].items())
        return f"(SELECT * FROM (VALUES {rows or '(NULL, NULL)'}) AS t (model, litres))"
    return literal(settings[name])


sql = (pathlib.Path(__file__).parent / "score.sql").read_text()
sql = re.sub(r"\$([a-z_]+)\b", put_in, sql)
by = settings.get("by")
if by:
    # The parts are those of a trip in which all of it was driven.
    steps, parts = sql.split("CREATE TABLE parts AS")
    keys = ", ".join(by)
    columns = [keys, "min(started) AS started", "count(*) AS trips"] + [f"sum({name}) AS {name}" for name in SUMS]
    if "vehicle" not in by:
        columns.append("min(vehicle) AS vehicle")
    hired = "WHERE hire IS NOT NULL" if by == ["hire"] else ""
    added = f"CREATE TABLE added AS SELECT {', '.join(columns)} FROM trips {hired} GROUP BY {keys};\n"
    sql = steps + added + "CREATE TABLE parts AS" + parts.replace("FROM trips;", "FROM added;")
connection = duckdb.connect(config={"threads": 2})
result = connection.execute(sql)
names = [column[0] for column in result.description]
for row in result.fetchall():
    print(json.dumps(dict(zip(names, row)), default=float))
