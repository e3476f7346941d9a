"""Small files that unpack to gigabytes.

bombs.py write FOLDER    writes them
bombs.py check           only whether the modules are there
"""

import pathlib
import sqlite3
import sys

import pyarrow
import pyarrow.feather
import pyarrow.parquet

MIB = 1 << 20


def table(rows, **columns):
    """Packets of which only these columns are unusual."""
    usual = {
        "symbol": pyarrow.array(["A"] * rows),
        "buySellIndicator": pyarrow.array(["B"] * rows),
        "quantity": pyarrow.array([1] * rows, pyarrow.int32()),
        "price": pyarrow.array([1] * rows, pyarrow.int32()),
        "sequence": pyarrow.array(range(1, rows + 1), pyarrow.int32()),
    }
    return pyarrow.table({**usual, **columns})


def write(folder):
    def parquet(name, rows, **options):
        path = folder / f"{name}.parquet"
        pyarrow.parquet.write_table(rows, path, write_statistics=False, **options)

    long = "A" * (20 * MIB)
    # Thousands of rows that show the same long text: 4,096 of them are 80 GiB.
    keys = pyarrow.array([0] * 5000, pyarrow.int32())
    shared = table(5000, symbol=pyarrow.DictionaryArray.from_arrays(keys, pyarrow.array([long])))
    # The last of many texts is long, and no dictionary has it.
    last = table(5000, origin=pyarrow.array(["pass 1"] * 4999 + [long]))
    for codec in ["zstd", "gzip", "brotli", "snappy", "lz4"]:
        parquet(f"shared-{codec}", shared, compression=codec)
        parquet(f"last-{codec}", last, compression=codec, use_dictionary=False)
    # Texts that are the one before and nothing else.
    repeated = table(4096, symbol=pyarrow.array([long] * 8 + ["A"] * 4088))
    delta = {"symbol": "DELTA_BYTE_ARRAY"}
    parquet("delta", repeated, use_dictionary=False, column_encoding=delta, compression="zstd")
    # A row that is millions of numbers, and nulls that take as much room as a value may.
    numbers = pyarrow.array([[1] * (8 * MIB), [1]], pyarrow.list_(pyarrow.int32()))
    parquet("list", table(2, quantity=numbers), compression="zstd")
    parquet("nulls", table(2, symbol=pyarrow.array([None] * 2, pyarrow.binary(1 << 30))))
    for codec in ["lz4", "zstd"]:
        pyarrow.feather.write_feather(shared, folder / f"shared-{codec}.feather", codec)
        huge = table(2, origin=pyarrow.array([long * 15, None]))
        pyarrow.feather.write_feather(huge, folder / f"huge-{codec}.feather", codec)
        views = pyarrow.array([long] * 5).cast(pyarrow.string_view())
        pyarrow.feather.write_feather(table(5, symbol=views), folder / f"view-{codec}.feather", codec)

    columns = "'A' AS symbol, 'B' AS buySellIndicator, 1 AS quantity, 1 AS price, sequence"
    numbers = "WITH RECURSIVE n(sequence) AS (SELECT 1 UNION ALL SELECT sequence + 1 FROM n)"
    for name, view in {
        "endless": f"{numbers} SELECT {columns} FROM n",
        "long": f"{numbers} SELECT {columns}, hex(zeroblob(500000)) AS origin FROM n",
        "idle": f"{numbers} SELECT {columns} FROM n WHERE sequence < 0",
        "wide": f"SELECT {columns}, hex(zeroblob(1 << 30)) AS origin FROM (SELECT 1 AS sequence)",
    }.items():
        with sqlite3.connect(folder / f"{name}.sqlite") as database:
            database.execute(f"CREATE VIEW packets AS {view}")


task, *folder = sys.argv[1:]
if task == "write":
    write(pathlib.Path(folder[0]))
