"""Creates the extract in this folder from the full files of vega-datasets.

    python3 -m venv /some/scratch && /some/scratch/bin/pip install duckdb
    /some/scratch/bin/python make_extract.py <folder with the full files> <this folder>

Every n-th row is kept, counted from the first one, so that the same input always gives the same extract.
"""

import pathlib
import shutil
import sys

import duckdb

EVERY_FLIGHT = 40
EVERY_ZIPCODE = 20


def main(source: pathlib.Path, target: pathlib.Path) -> None:
    con = duckdb.connect()
    con.execute("SET threads = 1")
    flights = source / "flights-3m.parquet"
    con.execute(
        f"""COPY (SELECT * EXCLUDE file_row_number
                  FROM read_parquet('{flights}', file_row_number = true)
                  WHERE file_row_number % {EVERY_FLIGHT} = 0
                  ORDER BY file_row_number)
            TO '{target / flights.name}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 19)"""
    )
    shutil.copyfile(source / "airports.csv", target / "airports.csv")
    header, *rows = (source / "zipcodes.csv").read_text().splitlines(keepends=True)
    (target / "zipcodes.csv").write_text("".join([header, *rows[::EVERY_ZIPCODE]]))
    for name in ("flights-3m.parquet", "airports.csv", "zipcodes.csv"):
        count = con.execute(f"SELECT count(*) FROM '{target / name}'").fetchall()[0][0]
        print(f"{name}: {count} rows, {(target / name).stat().st_size} bytes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
