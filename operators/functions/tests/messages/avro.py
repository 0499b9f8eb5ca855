#!/usr/bin/env python3
"""Records what other implementations make of Avro messages, in avro.json beside this file.

  python3 -m venv venv && venv/bin/pip install fastavro pyspark==4.2.0
  venv/bin/python avro.py JARS        # a directory with spark-avro_2.13-4.2.0.jar

Messages to read are written by fastavro and by hand, and read by Spark's from_avro. Messages that are written are Spark's, and
fastavro reads them back as a check.
"""
import glob
import io
import json
import os
import re
import sys
from datetime import date, datetime, timezone
from decimal import Decimal

import fastavro
from pyspark.sql import SparkSession
from pyspark.sql.avro.functions import from_avro, to_avro
from pyspark.sql.functions import from_json, struct, to_json

HERE = os.path.dirname(os.path.abspath(__file__))


def record(*fields, name="R"):
    return {"type": "record", "name": name, "fields": [dict(zip(("name", "type", "default"), f)) for f in fields]}


ALL = record(
    ("bool", "boolean"), ("i", "int"), ("l", "long"), ("f", "float"), ("d", "double"), ("b", "bytes"), ("s", "string"),
    ("day", {"type": "int", "logicalType": "date"}),
    ("millis", {"type": "long", "logicalType": "timestamp-millis"}),
    ("micros", {"type": "long", "logicalType": "timestamp-micros"}),
    ("local_millis", {"type": "long", "logicalType": "local-timestamp-millis"}),
    ("local_micros", {"type": "long", "logicalType": "local-timestamp-micros"}),
    ("dec", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}),
    ("fixed_dec", {"type": "fixed", "name": "FD", "size": 9, "logicalType": "decimal", "precision": 20, "scale": 5}),
    ("fix", {"type": "fixed", "name": "F", "size": 3}),
    ("e", {"type": "enum", "name": "E", "symbols": ["A", "B", "C"]}),
    ("list", {"type": "array", "items": ["null", "int"]}),
    ("map", {"type": "map", "values": "long"}),
    ("inner", record(("x", ["null", "string"]), ("y", {"type": "array", "items": record(("z", "int"), name="Z")}), name="I")),
    ("maybe", ["null", "double"]),
    ("again", ["E", "null"]),
    ("uuid", {"type": "string", "logicalType": "uuid"}),
    ("clock", {"type": "int", "logicalType": "time-millis"}),
)
VALUE = {
    "bool": True, "i": -7, "l": 1 << 40, "f": 1.5, "d": -2.25, "b": b"\x00\xff", "s": "tide ✓",
    "day": date(2024, 2, 29), "millis": datetime(2024, 2, 29, 12, 0, 0, 123000, timezone.utc),
    "micros": datetime(1969, 12, 31, 23, 59, 59, 999999, timezone.utc),
    "local_millis": datetime(2024, 2, 29, 12, 0, 0, 7000), "local_micros": datetime(2024, 2, 29, 12, 0, 0, 7),
    "dec": Decimal("-12345678.90"), "fixed_dec": Decimal("123456789012345.67891"), "fix": b"abc", "e": "B",
    "list": [1, None, -3], "map": {"k": 5}, "inner": {"x": None, "y": [{"z": 1}, {"z": 2}]}, "maybe": 0.5, "again": "C",
    "uuid": "12345678-1234-5678-1234-567812345678", "clock": 3_600_000,
}
TREE = record(("v", "int"), ("next", ["null", "R"]))
UNION = ["null", "int", "string", record(("x", "boolean"), name="U")]


def written(schema, value):
    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(json.dumps(schema))), value)
    return out.getvalue()


def reads():
    """Name, writer's schema, options, bytes."""
    yield "every type", ALL, {}, written(ALL, VALUE)
    yield "a plain int", "int", {}, written("int", -1)
    yield "a nullable string at the top", ["null", "string"], {}, written(["null", "string"], "x")
    for value in (None, 7, "x", {"x": True}):
        yield f"a union with {value}", record(("u", UNION)), {}, written(record(("u", UNION)), {"u": value})
    stable = {"enableStableIdentifiersForUnionType": "true"}
    yield "a union with names of types", record(("u", UNION)), stable, written(record(("u", UNION)), {"u": "x"})
    yield "int or long", record(("u", ["int", "long"])), {}, written(record(("u", ["int", "long"])), {"u": 1})
    yield "float or double", record(("u", ["null", "float", "double"])), {}, b"\x02\x00\x00\xc0\x3f"
    yield "a record in itself", TREE, {"recursiveFieldMaxDepth": "2"}, written(
        TREE, {"v": 1, "next": {"v": 2, "next": {"v": 3, "next": {"v": 4, "next": None}}}})
    old = record(("a", "int"), ("gone", {"type": "array", "items": "string"}), ("b", "float"), ("e", {
        "type": "enum", "name": "E", "symbols": ["A", "B", "NEW"]}), ("old_name", "string"), ("u", ["null", "int"]))
    new = record(("b", "double"), ("a", "long"), ("added", "string", "dflt"), ("list", {"type": "array", "items": "int"}, [1, 2]),
                 ("e", {"type": "enum", "name": "E", "symbols": ["A", "B"], "default": "A"}), ("new_name", "bytes"),
                 ("u", ["null", "long", "string"]), ("maybe", ["null", "int"], None),
                 ("rec", record(("p", "int", 3), ("q", "string"), name="D"), {"q": "deep"}))
    new["fields"][5]["aliases"] = ["old_name"]
    value = {"a": 1, "gone": ["x", "y"], "b": 0.5, "e": "NEW", "old_name": "n", "u": 9}
    yield "an evolved schema", old, {"avroSchema": json.dumps(new)}, written(old, value)
    yield "blocks with sizes, as Java may write them", record(("l", {"type": "array", "items": "int"}), ("s", "string")), {}, \
        bytes([3, 4, 2, 4, 2, 6, 0, 2]) + b"x"
    yield "bytes after the value", "int", {}, b"\x02garbage"
    for mode in ("PERMISSIVE", "FAILFAST"):
        for name, bad in (("no bytes", b""), ("half a value", written(ALL, VALUE)[:40]), ("a wrong branch", None)):
            schema, message = (ALL, bad) if bad is not None else (record(("u", ["null", "int"]), ("v", "int")), b"\x08\x02")
            yield f"{name}, {mode}", schema, {"mode": mode}, message
    yield "no bytes for an int, PERMISSIVE", "int", {"mode": "PERMISSIVE"}, b""


def writes():
    """Name, type, value as JSON, schema."""
    everything = ("a BOOLEAN, b TINYINT, c SMALLINT, d INT, e BIGINT, f FLOAT, g DOUBLE, h DECIMAL(10,2), i DECIMAL(38,10), j STRING, "
                  "k BINARY, l DATE, m TIMESTAMP, n TIMESTAMP_NTZ, o ARRAY<INT>, p MAP<STRING, BIGINT>, q STRUCT<r: STRING, s: DECIMAL(4,1)>")
    value = {"a": False, "b": -1, "c": 300, "d": -70000, "e": 1 << 50, "f": 0.25, "g": -1e10, "h": -12345678.90,
             "i": 1234567890123456789.5, "j": "✓", "k": "AP8=", "l": "1969-12-31", "m": "1969-12-31T23:59:59.999999Z",
             "n": "2024-02-29T12:00:00.000007", "o": [1, None, 3], "p": {"k": 5}, "q": {"r": "x", "s": -1.5}}
    yield "every type", everything, value, None
    yield "nothing but nulls", everything, {}, None
    yield "a schema with other types", "t TIMESTAMP, n TIMESTAMP_NTZ, e STRING, f BINARY, d DECIMAL(10,2), x INT", \
        {"t": "1969-12-31T23:59:59.999999Z", "n": "2024-02-29T12:00:00.007", "e": "B", "f": "YWJj", "d": -1.28, "x": None}, \
        record(("X", ["null", "int"]), ("t", {"type": "long", "logicalType": "timestamp-millis"}), ("n", "long"), ("added", ["string", "null"]),
               ("e", {"type": "enum", "name": "E", "symbols": ["A", "B"]}), ("f", {"type": "fixed", "name": "F", "size": 3}),
               ("d", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}))
    union = record(("u", ["null", "int", "string"]), ("w", ["double", "float"]))
    members = "u STRUCT<member0: INT, member1: STRING>, w DOUBLE"
    yield "a union, its first", members, {"u": {"member0": 7}, "w": 1.5}, union
    yield "a union, its second", members, {"u": {"member1": "x"}, "w": 1.5}, union
    yield "a union, none", members, {"w": 1.5}, union
    yield "a null that is not allowed", "a INT", {}, record(("a", "int"))
    yield "a symbol that is not there", "a STRING", {"a": "Z"}, record(("a", {"type": "enum", "name": "E", "symbols": ["A"]}))


def condition(error):
    """Spark's name for an error: of the first of its causes that has one."""
    said, cause = [str(error)], getattr(error, "java_exception", None)
    while cause is not None:
        said.append(str(cause.getMessage()))
        cause = cause.getCause()
    found = re.findall(r"\[([A-Z]+(?:_[A-Z_]+)(?:\.[A-Z_]+)*)\]", " ".join(said))
    return found[0] if found else "none"


def main():
    jars = ",".join(glob.glob(os.path.join(sys.argv[1], "spark-avro*.jar")))
    spark = (SparkSession.builder.master("local[1]").config("spark.jars", jars).config("spark.sql.session.timeZone", "UTC")
             .config("spark.ui.enabled", "false").config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC").getOrCreate())
    spark.sparkContext.setLogLevel("OFF")
    cases = {"read": [], "write": []}
    for name, schema, options, message in reads():
        case = {"name": name, "schema": json.dumps(schema), "options": options, "message": message.hex()}
        read = spark.createDataFrame([(bytearray(message),)], "m BINARY").select(from_avro("m", json.dumps(schema), options).alias("v"))
        case["type"] = read.schema["v"].dataType.simpleString()
        try:
            shown = read.select(to_json(struct("v"), {"ignoreNullFields": "false"}))
            case["value"] = shown.first()[0]
        except Exception as error:
            case["error"] = condition(error)
        cases["read"].append(case)
    for name, ddl, value, schema in writes():
        case = {"name": name, "type": ddl, "value": json.dumps(value), "schema": schema and json.dumps(schema)}
        frame = spark.createDataFrame([(json.dumps(value),)], "j STRING").select(from_json("j", ddl).alias("v"))
        try:
            message = bytes(frame.select(to_avro("v", case["schema"]) if schema else to_avro("v")).first()[0])
            case["message"] = message.hex()
            if schema:
                fastavro.schemaless_reader(io.BytesIO(message), fastavro.parse_schema(json.loads(case["schema"])))
        except Exception as error:
            case["error"] = condition(error)
        cases["write"].append(case)
    with open(os.path.join(HERE, "avro.json"), "w") as out:
        json.dump(cases, out, indent=1, ensure_ascii=False)
        out.write("\n")


main()
