"""Independent readers and writers of the formats.

readers.py read FOLDER    every x.* in it has the rows of expected.json
readers.py write FOLDER   writes y-* with these rows, as other programs do, and s.ndjson and s-*
                          with the same rows, but times of whole seconds
readers.py check          only whether the modules are there
"""

import csv
import json
import pathlib
import sqlite3
import sys

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

COLUMNS = ["symbol", "buySellIndicator", "quantity", "price", "sequence", "arrived", "origin"]
UTC_NANOSECONDS = pyarrow.timestamp("ns", "UTC")
TYPES = [pyarrow.string()] * 2 + [pyarrow.int32()] * 2 + [pyarrow.uint32(), UTC_NANOSECONDS]
SCHEMA = pyarrow.schema(list(zip(COLUMNS, TYPES + [pyarrow.string()])))


def of_table(table):
    """The rows of an Arrow table; times as integers."""
    assert table.schema.names == COLUMNS, table.schema
    assert [field.type for field in table.schema] == [field.type for field in SCHEMA], table.schema
    at = COLUMNS.index("arrived")
    table = table.set_column(at, "arrived", table["arrived"].cast(pyarrow.int64()))
    return [list(row.values()) for row in table.to_pylist()]


def of_pandas(frame):
    assert list(frame.columns) == COLUMNS, frame.columns
    at = COLUMNS.index("arrived")
    rows = [[None if pandas.isna(v) else v for v in row] for row in frame.itertuples(index=False)]
    for row in rows:
        row[at] = None if row[at] is None else int(getattr(row[at], "value", row[at]))
    return rows


def of_text(rows):
    """The rows of a format in which everything is text."""
    number = lambda text: int(text) if text else None
    return [
        [row[0] or ""] + [row[1]] + [int(n) for n in row[2:5]] + [number(row[5]), row[6] or None]
        for row in rows
    ]


def of_duckdb(relation):
    at = "epoch_ns(arrived)" if "TIMESTAMP" in str(relation.types[5]) else "arrived"
    columns = ", ".join(COLUMNS[:5])
    return [list(row) for row in relation.project(f"{columns}, {at}, origin").fetchall()]


def read(folder, expected):
    """Each reader's rows, by its name."""
    path = lambda extension: str(folder / f"x.{extension}")
    text = {"keep_default_na": False, "dtype": str}
    with open(path("csv"), newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
        assert names == COLUMNS
        yield "csv", of_text(rows)
    yield "csv, pandas", of_text(pandas.read_csv(path("csv"), **text).values.tolist())
    with open(path("ndjson"), encoding="utf-8", newline="\n") as file:
        yield "ndjson", [list(json.loads(line).values()) for line in file]
    with open(path("json"), encoding="utf-8") as file:
        yield "json", [list(row.values()) + [None, None] for row in json.load(file)]
    if (folder / "x.sqlite").exists():
        database = sqlite3.connect(path("sqlite"))
        yield "sqlite", [list(row) for row in database.execute("SELECT * FROM packets")]
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    if (folder / "x.parquet").exists():
        yield "parquet", of_table(pyarrow.parquet.read_table(path("parquet")))
        yield "parquet, pandas", of_pandas(pandas.read_parquet(path("parquet")))
        yield "parquet, duckdb", of_duckdb(duckdb.read_parquet(path("parquet")))
        yield "arrow", of_table(pyarrow.ipc.open_file(path("arrow")).read_all())
        with open(path("stream"), "rb") as file:
            yield "arrow, stream", of_table(pyarrow.ipc.open_stream(file).read_all())
        yield "arrow, feather", of_table(pyarrow.feather.read_table(path("arrow")))
    # These have no way to write a NUL, and an empty text is NULL to the first.
    if not any("\0" in row[0] or row[0] == "" for row in expected):
        yield "csv, duckdb", of_text(duckdb.read_csv(path("csv"), all_varchar=True).fetchall())
        yield "ndjson, duckdb", of_duckdb(duckdb.read_json(path("ndjson")))


def write(folder, expected):
    path = lambda extension: str(folder / f"y-{extension}")
    columns = dict(zip(COLUMNS, zip(*expected)))
    arrays = [pyarrow.array(columns[name], SCHEMA.field(name).type) for name in COLUMNS]
    table = pyarrow.Table.from_arrays(arrays, schema=SCHEMA)
    frame = pandas.DataFrame(expected, columns=COLUMNS)
    frame["arrived"] = pandas.array(columns["arrived"], dtype="Int64")
    with open(path("csv.csv"), "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS] + expected)
    # Without quotes it would not read a carriage return back either.
    frame.to_csv(path("pandas.csv"), index=False, quoting=csv.QUOTE_NONNUMERIC)
    frame.to_json(path("pandas.ndjson"), orient="records", lines=True)
    with open(path("json.ndjson"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(dict(zip(COLUMNS, row))) + "\n" for row in expected)
    database = sqlite3.connect(path("sqlite.sqlite"))
    database.execute(f"CREATE TABLE packets ({', '.join(COLUMNS)})")
    database.executemany("INSERT INTO packets VALUES (?, ?, ?, ?, ?, ?, ?)", expected)
    database.commit()
    pyarrow.parquet.write_table(table, path("pyarrow.parquet"))
    frame.to_parquet(path("pandas.parquet"))
    duckdb.from_arrow(table).write_parquet(path("duckdb.parquet"), compression="zstd")
    pyarrow.feather.write_feather(table, path("feather.feather"), compression="uncompressed")
    with pyarrow.ipc.new_file(path("pyarrow.arrow"), table.schema) as file:
        file.write_table(table, max_chunksize=100)
    write_texts(path, expected)
    write_compressed(path, table, frame)
    write_types(path, table)
    write_times(folder, expected)


def write_texts(path, expected):
    """Byte order marks, line ends, and none."""
    of_json = [dict(zip(COLUMNS[:5], row)) for row in expected]
    with open(path("mark.json"), "w", encoding="utf-8-sig") as file:
        json.dump(of_json, file, ensure_ascii=False)
    with open(path("mark.ndjson"), "w", encoding="utf-8-sig") as file:
        file.write("\n".join(json.dumps(dict(zip(COLUMNS, row))) for row in expected))
    with open(path("mark.csv"), "w", newline="", encoding="utf-8-sig") as file:
        csv.writer(file).writerows([COLUMNS] + expected)
    whole = pathlib.Path(path("mark.csv")).read_bytes()
    assert whole.endswith(b"\r\n")
    pathlib.Path(path("cut.csv")).write_bytes(whole[:-2])
    rows = polars.DataFrame(expected, schema=COLUMNS, orient="row", infer_schema_length=None)
    rows.write_csv(path("polars.csv"), include_bom=True, quote_style="always")
    rows.write_ndjson(path("polars.ndjson"))


def write_compressed(path, table, frame):
    """Every codec, and every way of storing texts that makes them short."""
    category = frame.astype({name: "category" for name in ["symbol", "buySellIndicator", "origin"]})
    rows = polars.from_arrow(table)
    category_rows = rows.cast({"symbol": polars.Categorical, "buySellIndicator": polars.Enum(["B", "S"])})
    frame.to_feather(path("pandas.feather"))
    category.to_feather(path("category.feather"))
    category.to_parquet(path("category.parquet"))
    for codec in ["lz4", "zstd"]:
        pyarrow.feather.write_feather(table, path(f"{codec}.feather"), compression=codec)
        category_rows.write_ipc(path(f"polars-{codec}.arrow"), compression=codec)
    rows.write_ipc(path("polars-old.arrow"), compat_level=polars.CompatLevel.oldest())
    for codec in ["gzip", "brotli", "lz4", "snappy", "zstd", "none"]:
        parquet = lambda name, **more: pyarrow.parquet.write_table(
            table, path(f"{name}-{codec}.parquet"), compression=codec, row_group_size=999, **more
        )
        parquet("v1", data_page_size=1000)
        parquet("v2", data_page_version="2.0", use_dictionary=False)
        encodings = {"symbol": "DELTA_BYTE_ARRAY", "origin": "DELTA_LENGTH_BYTE_ARRAY"}
        parquet("delta", data_page_version="2.0", use_dictionary=False, column_encoding=encodings)
        named = "uncompressed" if codec == "none" else codec
        category_rows.write_parquet(path(f"polars-{codec}.parquet"), compression=named)
        duckdb.from_arrow(table).write_parquet(path(f"duckdb-{codec}.parquet"), compression=named)


def write_types(path, table):
    """Other types with room for the same values."""
    text = ["symbol", "buySellIndicator", "origin"]
    types = {
        "large": {name: pyarrow.large_string() for name in text},
        "view": {name: pyarrow.string_view() for name in text},
        "binary": {name: pyarrow.binary() for name in text},
        "large-binary": {name: pyarrow.large_binary() for name in text},
        "keys": {name: pyarrow.dictionary(pyarrow.uint16(), pyarrow.large_string()) for name in text},
        "wide": {name: pyarrow.int64() for name in ["quantity", "price", "sequence"]},
        "narrow": {"sequence": pyarrow.int16(), "arrived": pyarrow.int64()},
        "unsigned": {"sequence": pyarrow.uint64(), "arrived": pyarrow.uint64()},
        "zone": {"arrived": pyarrow.timestamp("ns", "Asia/Kolkata")},
        "no-zone": {"arrived": pyarrow.timestamp("ns")},
        "number-keys": {"price": pyarrow.dictionary(pyarrow.int8(), pyarrow.int32())},
    }
    for name, other in types.items():
        cast = table
        for column, kind in other.items():
            at = cast.schema.get_field_index(column)
            encoded = cast[column].combine_chunks()
            if pyarrow.types.is_dictionary(kind):
                encoded = encoded.cast(kind.value_type).dictionary_encode().cast(kind)
            else:
                number = kind == pyarrow.uint64() and pyarrow.types.is_timestamp(encoded.type)
                encoded = (encoded.cast(pyarrow.int64()) if number else encoded).cast(kind)
            cast = cast.set_column(at, column, encoded)
        with pyarrow.ipc.new_file(path(f"{name}.arrow"), cast.schema) as file:
            file.write_table(cast)
        pyarrow.parquet.write_table(cast, path(f"{name}.parquet"))


def write_times(folder, expected):
    """Times in other units."""
    path = lambda extension: str(folder / f"s-{extension}")
    second = 1_000_000_000
    rows = [row[:5] + [row[5] and row[5] // second * second, row[6]] for row in expected]
    with open(folder / "s.ndjson", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(dict(zip(COLUMNS, row))) + "\n" for row in rows)
    arrays = [pyarrow.array(values, kind) for values, kind in zip(zip(*rows), SCHEMA.types)]
    table = pyarrow.Table.from_arrays(arrays, schema=SCHEMA)
    at = COLUMNS.index("arrived")
    for unit in ["s", "ms", "us", "ns"]:
        times = table.set_column(at, "arrived", table["arrived"].cast(pyarrow.timestamp(unit, "UTC")))
        pyarrow.feather.write_feather(times, path(f"{unit}.feather"))
        pyarrow.parquet.write_table(times, path(f"{unit}.parquet"))
        times.to_pandas().to_parquet(path(f"pandas-{unit}.parquet"))
        if unit != "s":
            polars.from_arrow(times).write_ipc(path(f"polars-{unit}.arrow"))
    pyarrow.parquet.write_table(table, path("int96.parquet"), use_deprecated_int96_timestamps=True)


def main():
    task, *folder = sys.argv[1:]
    if task == "check":
        return
    folder = pathlib.Path(folder[0])
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    if task == "write":
        return write(folder, expected)
    for name, rows in read(folder, expected):
        wanted = [row[:5] + [None, None] for row in expected] if name == "json" else expected
        for row, want in zip(rows, wanted):
            assert row == want, f"{name}: {row} is not {want}"
        assert len(rows) == len(wanted), f"{name}: {len(rows)} rows"
        print(f"{name}: {len(rows)} rows")


main()
