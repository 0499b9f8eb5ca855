"""The rows of `formats.rs`, read and written by DuckDB, DataFusion and Arrow's C++ library, on two threads.

    python3 -m venv venv && venv/bin/pip install duckdb datafusion pyarrow
    venv/bin/python connectors/benches/formats_peers.py DIRECTORY

DIRECTORY is where `formats.rs` has left its files: each peer reads them (the best of three), and writes their rows anew from memory.
Reading takes every column: SQL engines aggregate each, Arrow counts the rows of its batches. Writing does not sync.
"""

import glob
import os
import resource
import shutil
import sys
import tempfile
import time

import datafusion
import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset as ds
import pyarrow.json

THREADS = 2
SCHEMA = pa.schema([
    ("id", pa.int64()),
    ("name", pa.string()),
    ("amount", pa.float64()),
    ("at", pa.timestamp("us", tz="UTC")),
    ("flag", pa.bool_()),
])
# No engine can answer this from a file's statistics.
ALL = 'sum(id), sum(length(name)), sum(amount), max(extract(second from "at")), sum(CAST(flag AS INT))'
DUCKDB_COLUMNS = "{'id': 'BIGINT', 'name': 'VARCHAR', 'amount': 'DOUBLE', 'at': 'TIMESTAMPTZ', 'flag': 'BOOLEAN'}"


def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def timed(action):
    started, before = time.perf_counter(), cpu()
    action()
    return time.perf_counter() - started, cpu() - before


def files(directory, form):
    return sorted(glob.glob(f"{directory}/{form}/part-*"))


def read_duckdb(directory, form):
    connection = duckdb.connect(config={"threads": THREADS})
    paths = files(directory, form)
    source = {
        "csv": f"read_csv({paths}, header = true, columns = {DUCKDB_COLUMNS})",
        "json": f"read_json({paths}, format = 'newline_delimited', columns = {DUCKDB_COLUMNS})",
        "parquet": f"read_parquet({paths})",
    }[form]
    connection.execute(f"SELECT {ALL} FROM {source}").fetchall()


def read_datafusion(directory, form):
    context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(THREADS))
    path = f"{directory}/{form}"
    extension = files(directory, form)[0].split(".", 1)[1]
    if form == "csv":
        context.register_csv("t", path, schema=SCHEMA, has_header=True, file_extension=f".{extension}")
    elif form == "json":
        context.register_json("t", path, schema=SCHEMA, file_extension=f".{extension}")
    else:
        context.register_parquet("t", path, file_extension=f".{extension}")
    context.sql(f"SELECT {ALL} FROM t").collect()


def read_arrow(directory, form):
    if form == "json":
        # Its readers take one file each, and know no schema for all of a data set.
        rows = sum(
            pa.json.read_json(path, parse_options=pa.json.ParseOptions(explicit_schema=SCHEMA)).num_rows
            for path in files(directory, form)
        )
    else:
        data = ds.dataset(files(directory, form), format=form, schema=SCHEMA)
        rows = sum(batch.num_rows for batch in data.to_batches())
    assert rows > 0


def write_duckdb(table, directory, form):
    connection = duckdb.connect(config={"threads": THREADS})
    connection.register("t", table)
    options = {"csv": "FORMAT csv, HEADER true", "json": "FORMAT json", "parquet": "FORMAT parquet, COMPRESSION snappy"}[form]
    connection.execute(f"COPY t TO '{directory}/out' ({options}, PER_THREAD_OUTPUT true)")


def write_datafusion(table, directory, form):
    context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(THREADS))
    batches = table.to_batches(max_chunksize=8192)
    frame = context.create_dataframe([batches[task::THREADS] for task in range(THREADS)])
    path = f"{directory}/out"
    if form == "csv":
        frame.write_csv(path, with_header=True)
    elif form == "json":
        frame.write_json(path)
    else:
        frame.write_parquet(path, compression="snappy")


def write_arrow(table, directory, form):
    if form in ("json", "orc"):
        raise NotImplementedError
    ds.write_dataset(table, f"{directory}/out", format=form, max_rows_per_file=500_000, max_rows_per_group=500_000)


def main():
    directory = sys.argv[1]
    pa.set_cpu_count(THREADS)
    pa.set_io_thread_count(THREADS)
    table = ds.dataset(files(directory, "parquet"), schema=SCHEMA).to_table()
    print(f"{table.num_rows} rows; " + ", ".join(f"{m.__name__} {m.__version__}" for m in (duckdb, datafusion, pa)))
    print("| format | engine | written, M rows/s | CPU s | read, M rows/s | CPU s |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    engines = {
        "duckdb": (read_duckdb, write_duckdb, ("csv", "json", "parquet")),
        "datafusion": (read_datafusion, write_datafusion, ("csv", "json", "parquet")),
        "arrow": (read_arrow, write_arrow, ("csv", "json", "parquet", "orc")),
    }
    for form in ("csv", "json", "parquet", "orc"):
        for name, (read, write, known) in engines.items():
            if form not in known or not files(directory, form):
                continue
            best = min(timed(lambda: read(directory, form)) for _ in range(3))
            out = tempfile.mkdtemp(dir=directory)
            try:
                written = timed(lambda: write(table, out, form))
                cells = f"{table.num_rows / written[0] / 1e6:.2f} | {written[1]:.2f}"
            except NotImplementedError:
                cells = "none | "
            finally:
                shutil.rmtree(out)
            print(f"| {form} | {name} | {cells} | {table.num_rows / best[0] / 1e6:.2f} | {best[1]:.2f} |", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TZ", "UTC")
    main()
