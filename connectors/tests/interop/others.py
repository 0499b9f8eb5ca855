"""Other readers and writers of files: PyArrow, DuckDB and fastavro.

Takes jobs as JSON from its standard input, and writes what became of each: the lines that stand for the rows that it read, or the
error. `like` is an Arrow file that holds the rows, as Tidegate's tests have them: what is to be written, or the types to be read as.
"""

import glob
import io
import json
import struct
import sys
import tempfile

import cramjam
import duckdb
import fastavro
import pyarrow as pa
import pyarrow.csv
import pyarrow.dataset
import pyarrow.json
import pyarrow.orc
import pyarrow.parquet

MICROS = {"s": 10**6, "ms": 10**3, "us": 1}


def canonical(value):
    """A value as the text that `rows.rs` makes of it, too."""
    kind = value.type
    if not value.is_valid:
        return "null"
    if pa.types.is_dictionary(kind):
        return canonical(value.dictionary[value.index.as_py()])
    if pa.types.is_boolean(kind):
        return str(value.as_py()).lower()
    if pa.types.is_integer(kind):
        return str(value.as_py())
    if pa.types.is_float32(kind) or pa.types.is_float64(kind):
        number = value.as_py()
        if number != number:
            return "NaN"
        form = ("<f", "<I", "f32") if pa.types.is_float32(kind) else ("<d", "<Q", "f64")
        return f"{form[2]}:{struct.unpack(form[1], struct.pack(form[0], number))[0]:x}"
    if pa.types.is_decimal(kind):
        sign, digits, exponent = value.as_py().as_tuple()
        unscaled = int("".join(map(str, digits))) * 10 ** (exponent + kind.scale)
        return f"{'-' if sign and unscaled else ''}{unscaled}e-{kind.scale}"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return json.dumps(value.as_py(), ensure_ascii=False)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind) or pa.types.is_fixed_size_binary(kind):
        return f"x'{value.as_py().hex()}'"
    if pa.types.is_date32(kind):
        return f"day:{value.value}"
    if pa.types.is_timestamp(kind):
        number = value.value // 1000 if kind.unit == "ns" else value.value * MICROS[kind.unit]
        return f"{'instant' if kind.tz else 'clock'}:{number}"
    if pa.types.is_map(kind):
        pairs = [(entry["key"], entry["value"]) for entry in value.values]
        return "{" + ",".join(f"{canonical(k)}=>{canonical(v)}" for k, v in pairs) + "}"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return "[" + ",".join(canonical(item) for item in value.values) + "]"
    if pa.types.is_struct(kind):
        return "(" + ",".join(f"{field.name}:{canonical(value[field.name])}" for field in kind) + ")"
    raise ValueError(f"no text for {kind}")


def lines(table, like):
    found = []
    for name in like.schema.names:
        column = table.column(name)
        found += [f"{name}[{row}] = {canonical(value)}" for row, value in enumerate(column)]
    return found


def arrow_file(path):
    with pa.ipc.open_file(path) as file:
        return file.read_all()


def files(path):
    return sorted(file for file in glob.glob(path + "/**", recursive=True) if file.rsplit("/", 1)[1].startswith("part-"))


def content(path):
    """What a file holds, decompressed as its name says."""
    with open(path, "rb") as file:
        held = file.read()
    codec = path.rsplit(".", 1)[1]
    if codec == "snappy":
        return hadoop_snappy(held)
    known = {"gz": cramjam.gzip, "bz2": cramjam.bzip2, "zst": cramjam.zstd, "deflate": cramjam.zlib}
    return bytes(known[codec].decompress(held)) if codec in known else held


def compressed(held, path):
    codec = path.rsplit(".", 1)[1]
    if codec == "snappy":
        piece = bytes(cramjam.snappy.compress_raw(held))
        return struct.pack(">II", len(held), len(piece)) + piece
    known = {"gz": cramjam.gzip, "bz2": cramjam.bzip2, "zst": cramjam.zstd, "deflate": cramjam.zlib}
    return bytes(known[codec].compress(held)) if codec in known else held


def hadoop_snappy(held):
    """Blocks: how much they hold, then pieces with their length until that is there."""
    found, at = b"", 0
    while at < len(held):
        size, at = struct.unpack(">I", held[at : at + 4])[0], at + 4
        block = b""
        while len(block) < size:
            length, at = struct.unpack(">I", held[at : at + 4])[0], at + 4
            block += bytes(cramjam.snappy.decompress_raw(held[at : at + length]))
            at += length
        found += block
    return found


def plain(value, kind):
    """A value of Python as PyArrow takes it for a type."""
    if value is None:
        return None
    if pa.types.is_map(kind):
        return [(key, plain(item, kind.item_type)) for key, item in value.items()]
    if pa.types.is_list(kind):
        return [plain(item, kind.value_type) for item in value]
    if pa.types.is_struct(kind):
        return {field.name: plain(value[field.name], field.type) for field in kind}
    return value


def sql_type(kind):
    names = [
        (pa.types.is_boolean, "BOOLEAN"), (pa.types.is_int8, "TINYINT"), (pa.types.is_int16, "SMALLINT"),
        (pa.types.is_int32, "INTEGER"), (pa.types.is_int64, "BIGINT"), (pa.types.is_float32, "FLOAT"),
        (pa.types.is_float64, "DOUBLE"), (pa.types.is_string, "VARCHAR"), (pa.types.is_binary, "BLOB"), (pa.types.is_date32, "DATE"),
    ]
    for test, name in names:
        if test(kind):
            return name
    if pa.types.is_decimal(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    if pa.types.is_timestamp(kind):
        return "TIMESTAMPTZ" if kind.tz else "TIMESTAMP"
    if pa.types.is_map(kind):
        return f"MAP({sql_type(kind.key_type)}, {sql_type(kind.item_type)})"
    if pa.types.is_list(kind):
        return f"{sql_type(kind.value_type)}[]"
    if pa.types.is_struct(kind):
        return "STRUCT(" + ", ".join(f'"{field.name}" {sql_type(field.type)}' for field in kind) + ")"
    raise ValueError(f"no SQL type for {kind}")


def duck(query):
    connection = duckdb.connect()
    connection.sql("SET TimeZone = 'UTC'")
    return connection.sql(query).to_arrow_table()


def columns_sql(like):
    return "{" + ", ".join(f"'{field.name}': '{sql_type(field.type)}'" for field in like.schema) + "}"


def read_avro(path, like):
    rows = []
    for file in files(path):
        with open(file, "rb") as opened:
            rows += list(fastavro.reader(opened))
    columns = [pa.array([plain(row[field.name], field.type) for row in rows], field.type) for field in like.schema]
    return pa.table(columns, schema=like.schema)


def read_arrow_csv(path, like):
    options = pyarrow.csv.ConvertOptions(
        column_types={field.name: field.type for field in like.schema}, strings_can_be_null=True, quoted_strings_can_be_null=False,
        null_values=[""], true_values=["true"], false_values=["false"],
    )
    return pa.concat_tables(pyarrow.csv.read_csv(
        file, convert_options=options, parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True)
    ) for file in files(path))


def read_arrow_json(path, like):
    options = pyarrow.json.ParseOptions(explicit_schema=like.schema, unexpected_field_behavior="ignore")
    return pa.concat_tables(pyarrow.json.read_json(io.BytesIO(content(file)), parse_options=options) for file in files(path))


def read_duck_json(path, like):
    tables = []
    for file in files(path):
        with tempfile.NamedTemporaryFile(suffix=".json") as plain_file:
            plain_file.write(content(file))
            plain_file.flush()
            tables.append(duck(f"SELECT * FROM read_json('{plain_file.name}', columns = {columns_sql(like)}, format = 'nd')"))
    return pa.concat_tables(tables)


def read_text(path, like):
    text = b"".join(content(file) for file in files(path)).decode()
    return pa.table({"value": text.split("\n")[:-1]})


READERS = {
    "pyarrow.parquet": lambda path, like: pa.concat_tables(pyarrow.parquet.read_table(file) for file in files(path)),
    "duckdb.parquet": lambda path, like: duck(f"SELECT * FROM read_parquet({files(path)})"),
    "fastavro": read_avro,
    "pyarrow.orc": lambda path, like: pa.concat_tables(pyarrow.orc.read_table(file, columns=like.schema.names) for file in files(path)),
    "pyarrow.csv": read_arrow_csv,
    "duckdb.csv": lambda path, like: duck(
        f"SELECT * FROM read_csv({files(path)}, columns = {columns_sql(like)}, header = true, auto_detect = false, quote = '\"', "
        "escape = '\"', strict_mode = false, allow_quoted_nulls = false)"
    ),
    "pyarrow.json": read_arrow_json,
    "duckdb.json": read_duck_json,
    "text": read_text,
    "pyarrow.dataset": lambda path, like: pyarrow.dataset.dataset(path, format="parquet", partitioning="hive").to_table().sort_by("number"),
    "duckdb.dataset": lambda path, like: duck(
        f"SELECT * FROM read_parquet('{path}/*/part-*', hive_partitioning = true) ORDER BY number"
    ),
}


def write_parquet(table, path, options):
    kinds = options.pop("types", {})
    for name, kind in kinds.items():
        index = table.schema.get_field_index(name)
        table = table.set_column(index, name, table.column(name).cast(TYPES[kind]))
    pyarrow.parquet.write_table(table, path, **options)


TYPES = {
    "large_string": pa.large_string(), "large_list": pa.large_list(pa.int64()), "string_view": pa.string_view(),
    "binary_view": pa.binary_view(), "large_binary": pa.large_binary(),
    "dictionary": pa.dictionary(pa.int32(), pa.string()), "ms": pa.timestamp("ms", tz="UTC"),
    "ns": pa.timestamp("ns", tz="UTC"), "New_York": pa.timestamp("us", tz="America/New_York"), "Kolkata": pa.timestamp("ms", tz="Asia/Kolkata"),
}


def write_duck(table, path, options):
    connection = duckdb.connect()
    connection.sql(f"SET TimeZone = '{options.get('zone', 'UTC')}'")
    connection.register("rows", table)
    connection.sql(f"COPY (SELECT * FROM rows) TO '{path}' ({options['copy']})")


def avro_type(field, names):
    kind = field.type
    if pa.types.is_boolean(kind):
        name = "boolean"
    elif pa.types.is_int64(kind):
        name = "long"
    elif pa.types.is_integer(kind):
        name = "int"
    elif pa.types.is_float32(kind):
        name = "float"
    elif pa.types.is_float64(kind):
        name = "double"
    elif pa.types.is_string(kind):
        name = "string"
    elif pa.types.is_binary(kind):
        name = "bytes"
    elif pa.types.is_date32(kind):
        name = {"type": "int", "logicalType": "date"}
    elif pa.types.is_decimal(kind):
        name = {"type": "bytes", "logicalType": "decimal", "precision": kind.precision, "scale": kind.scale}
        if kind.precision == 9:
            # As Spark writes decimals.
            name |= {"type": "fixed", "size": 4, "name": f"fixed{len(names)}"}
            names.append(name["name"])
    elif pa.types.is_timestamp(kind):
        name = {"type": "long", "logicalType": "timestamp-micros" if kind.tz else "local-timestamp-micros"}
    elif pa.types.is_map(kind):
        name = {"type": "map", "values": avro_type(kind.item_field, names)}
    elif pa.types.is_list(kind):
        name = {"type": "array", "items": avro_type(kind.value_field, names)}
    else:
        names.append("record")
        record = f"record{len(names)}"
        name = {"type": "record", "name": record, "fields": [{"name": f.name, "type": avro_type(f, names)} for f in kind]}
    return ["null", name]


def write_avro(table, path, options):
    names = []
    fields = [{"name": field.name, "type": avro_type(field, names)} for field in table.schema]
    schema = fastavro.parse_schema({"type": "record", "name": "rows", "fields": fields})

    def python(value, kind):
        if value is not None and pa.types.is_map(kind):
            return {key: python(item, kind.item_type) for key, item in value}
        if value is not None and pa.types.is_list(kind):
            return [python(item, kind.value_type) for item in value]
        if value is not None and pa.types.is_struct(kind):
            return {field.name: python(value[field.name], field.type) for field in kind}
        return value

    rows = [{field.name: python(row[field.name], field.type) for field in table.schema} for row in table.to_pylist()]
    with open(path, "wb") as file:
        fastavro.writer(file, schema, rows, **options)


def write_text(table, path, options):
    text = "".join(value.as_py() + options["end"] for value in table.column("value"))
    with open(path, "wb") as file:
        file.write(compressed(text.encode(), path))


WRITERS = {
    "pyarrow.parquet": write_parquet,
    "duckdb": write_duck,
    "fastavro": write_avro,
    "pyarrow.orc": lambda table, path, options: pyarrow.orc.write_table(table, path, **options),
    "pyarrow.csv": lambda table, path, options: pyarrow.csv.write_csv(table, path),
    "text": write_text,
}


def run(job):
    like = arrow_file(job["like"])
    try:
        if job["do"] == "write":
            WRITERS[job["how"]](like, job["path"], job["options"])
            return {"lines": []}
        table = like if job["how"] == "arrow" else READERS[job["how"]](job["path"], like)
        return {"lines": lines(table, like)}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}


json.dump([run(job) for job in json.load(sys.stdin)], sys.stdout)
