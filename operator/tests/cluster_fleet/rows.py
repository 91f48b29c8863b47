"""Reads Parquet files with DuckDB: python rows.py SETTINGS.json prints one line of JSON for each row, as a list of `columns`; or,
where there are `needles` (lists of words), the file and the number of the list for each list of which a row of it holds a word, in
whatever column."""

import json
import pathlib
import sys

import duckdb

settings = json.loads(pathlib.Path(sys.argv[1]).read_text())
needles = settings.get("needles")
# As text: what a column holds is looked through, whatever its type.
columns = "COLUMNS(*)::VARCHAR" if needles else settings["columns"]
connection = duckdb.connect(config={"threads": 2})
for file in settings["files"]:
    rows = connection.execute(f"SELECT {columns} FROM read_parquet('{file}', hive_partitioning = false)").fetchall()
    if not needles:
        for row in rows:
            print(json.dumps(row))
        continue
    text = "\n".join({cell for row in rows for cell in row if cell})
    for number, words in enumerate(needles):
        if any(word in text for word in words):
            print(json.dumps([file, number]))
