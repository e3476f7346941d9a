"""Independent readers and writers of files of ITCH messages.

itch_readers.py read FOLDER     every x.* in it has the rows of expected.json, and columns of the
                                types in columns.json
itch_readers.py write FOLDER    writes y-* with the rows of x.parquet, as other programs do
itch_readers.py check           only whether the modules are there
"""

import csv
import decimal
import json
import pathlib
import sqlite3
import sys

import duckdb
import pandas
import polars
import pyarrow
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet

# Types of the columns as each program calls them.
ARROW = {
    "int64": pyarrow.int64(),
    "uint16": pyarrow.uint16(),
    "uint32": pyarrow.uint32(),
    "uint64": pyarrow.uint64(),
    "price(4)": pyarrow.decimal128(10, 4),
    "price(8)": pyarrow.decimal128(20, 8),
    "text": pyarrow.string(),
    "arrived": pyarrow.timestamp("ns", "UTC"),
}
DUCKDB = {
    "int64": "BIGINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "price(4)": "DECIMAL(10,4)",
    "price(8)": "DECIMAL(20,8)",
    "text": "VARCHAR",
}
POLARS = {
    "int64": polars.Int64,
    "uint16": polars.UInt16,
    "uint32": polars.UInt32,
    "uint64": polars.UInt64,
    "price(4)": polars.Decimal(10, 4),
    "price(8)": polars.Decimal(20, 8),
    "text": polars.String,
}


class Expected:
    """Columns with their types, and rows whose values are numbers, decimals, texts or None."""

    def __init__(self, folder):
        self.types = dict(json.loads((folder / "columns.json").read_text(encoding="utf-8")))
        self.names = list(self.types)
        rows = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        self.rows = [[self.value(name, row.get(name)) for name in self.names] for row in rows]

    def value(self, name, value):
        is_price = self.types[name].startswith("price") and value is not None
        return decimal.Decimal(value) if is_price else value

    def is_price(self, name):
        return self.types[name].startswith("price")

    def check(self, reader, rows):
        """Compares rows. A reader of floating-point prices has the nearest ones, and an empty text
        is null in CSV."""
        for row, want in zip(rows, self.rows):
            for name, value, wanted in zip(self.names, row, want):
                if isinstance(value, float) and wanted is not None:
                    wanted = float(wanted)
                if reader.startswith("csv") and wanted == "":
                    wanted = None
                assert value == wanted, f"{reader}: {name} is {value!r}, not {wanted!r}: {row}"
        assert len(rows) == len(self.rows), f"{reader}: {len(rows)} rows"
        print(f"{reader}: {len(rows)} rows")


def check_arrow(expected, reader, table):
    assert table.schema.names == expected.names, f"{reader}: {table.schema.names}"
    for field in table.schema:
        wanted = ARROW[expected.types[field.name]]
        assert field.type == wanted, f"{reader}: {field.name} is {field.type}, not {wanted}"
    expected.check(reader, [list(row.values()) for row in table.to_pylist()])


def check_pandas(expected, reader, frame):
    assert list(frame.columns) == expected.names, f"{reader}: {list(frame.columns)}"
    for name in expected.names:
        wanted = ARROW[expected.types[name]]
        found = frame.dtypes[name].pyarrow_dtype
        if pyarrow.types.is_large_string(found):
            found = pyarrow.string()
        assert found == wanted, f"{reader}: {name} is {found}, not {wanted}"
    rows = frame.itertuples(index=False)
    expected.check(reader, [[None if pandas.isna(v) else v for v in row] for row in rows])


def check_duckdb(expected, reader, relation, types):
    assert relation.columns == expected.names, f"{reader}: {relation.columns}"
    for name, found in zip(relation.columns, relation.types):
        wanted = types.get(expected.types[name])
        assert wanted is None or str(found) in wanted, f"{reader}: {name} is {found}, not {wanted}"
    expected.check(reader, [list(row) for row in relation.fetchall()])


def check_polars(expected, reader, frame):
    assert frame.columns == expected.names, f"{reader}: {frame.columns}"
    for name, found in frame.schema.items():
        wanted = POLARS.get(expected.types[name])
        assert wanted is None or found == wanted, f"{reader}: {name} is {found}, not {wanted}"
    expected.check(reader, [list(row) for row in frame.iter_rows()])


def of_text(expected, row):
    """The row of a format in which everything is text and null is empty."""
    values = []
    for name, value in zip(expected.names, row):
        kind = expected.types[name]
        if value == "":
            values.append(None)
        elif expected.is_price(name):
            values.append(decimal.Decimal(value))
        else:
            values.append(value if kind == "text" else int(value))
    return values


def read_texts(expected, path):
    with open(path("csv"), newline="", encoding="utf-8") as file:
        names, *rows = csv.reader(file)
    assert names == expected.names, names
    expected.check("csv", [of_text(expected, row) for row in rows])
    frame = pandas.read_csv(path("csv"), dtype=str, keep_default_na=False)
    expected.check("csv, pandas", [of_text(expected, row) for row in frame.values.tolist()])
    of_json = lambda row, names: [row.get(name) for name in names]
    with open(path("ndjson"), encoding="utf-8", newline="\n") as file:
        rows = [json.loads(line, parse_float=decimal.Decimal) for line in file]
    assert list(rows[0]) == expected.names, "the first row has all keys"
    expected.check("ndjson", [of_json(row, expected.names) for row in rows])
    with open(path("json"), encoding="utf-8") as file:
        rows = json.load(file, parse_float=decimal.Decimal)
    expected.check("json", [of_json(row, expected.names) for row in rows])
    frame = pandas.read_json(path("ndjson"), lines=True, convert_dates=False)
    assert list(frame.columns) == expected.names and frame["sequence"].dtype == "int64"
    numbers = [name for name, kind in expected.types.items() if kind != "text"]
    for name, column in frame[numbers].items():
        assert column.dtype.kind in "if", f"ndjson, pandas: {name} is {column.dtype}"
    rows = frame.itertuples(index=False)
    expected.check("ndjson, pandas", [[None if pandas.isna(v) else v for v in row] for row in rows])
    numbers = {kind: ["BIGINT", '"NULL"'] for kind in ["int64", "uint16", "uint32", "uint64"]}
    types = numbers | {"price(4)": ["DOUBLE", '"NULL"'], "price(8)": ["DOUBLE", '"NULL"']}
    relation = duckdb.read_json(path("ndjson"), sample_size=-1)
    check_duckdb(expected, "ndjson, duckdb", relation, types)


def read(folder):
    expected = Expected(folder)
    path = lambda extension: str(folder / f"x.{extension}")
    read_texts(expected, path)
    if (folder / "x.sqlite").exists():
        database = sqlite3.connect(path("sqlite"))
        kinds = {"price(4)": "real", "price(8)": "real", "text": "text"}
        for name, kind in expected.types.items():
            query = f"SELECT DISTINCT typeof({name}) FROM messages WHERE {name} IS NOT NULL"
            found = [row[0] for row in database.execute(query)]
            assert set(found) <= {kinds.get(kind, "integer")}, f"sqlite: {name} is {found}"
        rows = database.execute("SELECT * FROM messages ORDER BY sequence")
        expected.check("sqlite", [list(row) for row in rows])
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    if not (folder / "x.parquet").exists():
        return
    check_arrow(expected, "parquet", pyarrow.parquet.read_table(path("parquet")))
    check_arrow(expected, "arrow", pyarrow.ipc.open_file(path("arrow")).read_all())
    check_arrow(expected, "feather", pyarrow.feather.read_table(path("arrow")))
    frame = pandas.read_parquet(path("parquet"), dtype_backend="pyarrow")
    check_pandas(expected, "parquet, pandas", frame)
    types = {kind: [name] for kind, name in DUCKDB.items()}
    check_duckdb(expected, "parquet, duckdb", duckdb.read_parquet(path("parquet")), types)
    check_polars(expected, "parquet, polars", polars.read_parquet(path("parquet")))
    check_polars(expected, "arrow, polars", polars.read_ipc(path("arrow")))


def write(folder):
    path = lambda extension: str(folder / f"y-{extension}")
    table = pyarrow.parquet.read_table(str(folder / "x.parquet"))
    frame, rows = table.to_pandas(), polars.from_arrow(table)
    relation = duckdb.from_arrow(table)
    frame.to_csv(path("pandas.csv"), index=False, quoting=csv.QUOTE_NONNUMERIC)
    frame.to_json(path("pandas.ndjson"), orient="records", lines=True, double_precision=15)
    frame.to_json(path("pandas.json"), orient="records", double_precision=15)
    frame.to_parquet(path("pandas.parquet"))
    frame.to_feather(path("pandas.feather"))
    floats = frame.assign(price=frame["price"].astype(float), level1=frame["level1"].astype(float))
    floats.to_parquet(path("floats.parquet"))
    rows.write_csv(path("polars.csv"))
    rows.write_ndjson(path("polars.ndjson"))
    rows.write_parquet(path("polars.parquet"))
    rows.write_ipc(path("polars.arrow"), compression="zstd")
    relation.write_parquet(path("duckdb.parquet"))
    relation.write_csv(path("duckdb.csv"))
    duckdb.sql(f"COPY (FROM relation) TO '{path('duckdb.ndjson')}' (FORMAT json)")
    pyarrow.parquet.write_table(table, path("pyarrow.parquet"), compression="gzip")
    category = frame.astype({"message_type": "category", "stock": "category"})
    category.to_feather(path("category.feather"))
    database = sqlite3.connect(path("pandas.sqlite"))
    for name in table.schema.names:
        if pyarrow.types.is_decimal(table.schema.field(name).type):
            frame[name] = frame[name].astype(float)
    frame["arrived"] = None
    frame.to_sql("messages", database, index=False)
    database.commit()


if __name__ == "__main__":
    task, *folder = sys.argv[1:]
    if task == "read":
        read(pathlib.Path(folder[0]))
    elif task == "write":
        write(pathlib.Path(folder[0]))
