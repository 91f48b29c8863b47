"""Computes scores of trips with DuckDB: python score.py SETTINGS.json prints one line of JSON for each trip."""

import json
import pathlib
import re
import sys

import duckdb

settings = json.loads(pathlib.Path(sys.argv[1]).read_text())


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
connection = duckdb.connect(config={"threads": 2})
result = connection.execute(sql)
names = [column[0] for column in result.description]
for row in result.fetchall():
    print(json.dumps(dict(zip(names, row)), default=float))
