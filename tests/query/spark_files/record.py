#!/usr/bin/env python3
"""Records what Apache Spark reads of small files, for `from_spark.rs`.

    python3 -m venv venv && venv/bin/pip install pyspark==4.3.0
    venv/bin/python tests/query/spark_files/record.py > tests/query/spark_files/cases.json

A case is files, a format, a schema (none: inferred) and options. What comes out is the columns with their types, and the rows with
each value cast to a string; or the condition of the error.
"""

import json
import os
import re
import shutil
import sys
import tempfile
from random import Random

from pyspark.sql import SparkSession
from pyspark.sql.functions import col

CASES = []


def case(name, format, content, schema=None, select=None, **options):
    """`content` is the text of one file, or a dictionary of paths and texts."""
    files = content if isinstance(content, dict) else {"a." + format: content}
    CASES.append({"name": name, "format": format, "files": files, "schema": schema, "select": select, "options": options})


def csv(name, content, schema=None, **options):
    case("csv " + name, "csv", content, schema, **options)


def jsn(name, content, schema=None, **options):
    case("json " + name, "json", content, schema, **options)


AB = "a STRING, b INT"
ABC = "a STRING, b INT, c STRING"
CORRUPT = "a INT, b INT, _corrupt_record STRING"

# ---- CSV: cutting lines into values
csv("plain", "x,1\ny,2\n", AB)
csv("crlf", "x,1\r\ny,2\r\n", AB)
csv("cr", "x,1\ry,2\r", AB)
csv("no newline at the end", "x,1\ny,2", AB)
csv("empty lines", "\nx,1\n\n\ny,2\n\n", AB)
csv("lines of blanks", "   \nx,1\n \t \ny,2\n", AB)
csv("empty file", "", AB)
csv("header", "a,b\nx,1\n", AB, header="true")
csv("header only", "a,b\n", AB, header="true")
csv("header after empty lines", "\n\na,b\nx,1\n", AB, header="true")
csv("header of another case and order", "B,A\nx,1\n", AB, header="true")
csv("header of each of two files", {"1.csv": "a,b\nx,1\n", "2.csv": "a,b\ny,2\n"}, AB, header="true")
csv("header of fewer columns", "a\nx,1\n", AB, header="true")
csv("header of more columns", "a,b,c\nx,1,z\n", AB, header="true")
csv("bom", "\ufeffx,1\n", AB)
csv("bom and header", "\ufeffa,b\nx,1\n", None, header="true")
csv("quotes", '"x",1\n"y,z",2\n"",3\n', AB)
csv("doubled quotes", '"x""y",1\n""""\n', AB)
csv("escaped quotes", '"x\\"y",1\n"a\\\\",2\n"\\n",3\n', AB)
csv("escape outside quotes", 'x\\"y,1\n\\,2\n', AB)
csv("quotes inside a value", 'x"y"z,1\nx "y",2\n', AB)
csv("blanks around quotes", ' "x" ,1\n"y" ,2\n  "z",3\n', AB)
csv("text after a quote", '"x"y,1\n"x" y,2\n"x"y"z",3\n', AB)
csv("an open quote", '"x,1\ny,2\n', AB)
csv("an open quote at the end", 'x,1\n"y,2', AB)
csv("newline in quotes", '"x\ny",1\nz,2\n', AB)
csv("newline in quotes, multiLine", '"x\ny",1\nz,2\n', AB, multiLine="true")
csv("crlf in quotes, multiLine", '"x\r\ny",1\r\nz,2\r\n', AB, multiLine="true")
csv("escape is quote", '"x""y",1\n"a\\",2\n', AB, escape='"')
csv("another quote", "'x,y',1\n\"z\",2\n", AB, quote="'")
csv("no quote", '"x",1\n"y,2\n', AB, quote="\u0000")
csv("separator", "x;1\n\"y;z\";2\n", AB, sep=";")
csv("tabs", "x\t1\ny\t\n", AB, sep="\\t")
csv("delimiter", "x|1\n", AB, delimiter="|")
csv("long separator", "x::1\ny:z::2\n", AB, sep="::")
csv("comment", "#x,1\ny,2\n #z,3\n", AB, comment="#")
csv("comment and header", "# first\na,b\nx,1\n", AB, comment="#", header="true")
csv("lineSep", "x,1;y,2;", AB, lineSep=";")
csv("blanks kept", " x , 1 \n", "a STRING, b STRING")
csv("leading blanks", " x , 1 \n\" y \",2\n", "a STRING, b STRING", ignoreLeadingWhiteSpace="true")
csv("trailing blanks", " x , 1 \n\" y \",2\n", "a STRING, b STRING", ignoreTrailingWhiteSpace="true")
csv("blanks and numbers", " x, 1\ny,2 \n", AB)
csv("blanks and numbers, trimmed", " x, 1\ny,2 \n", AB, ignoreLeadingWhiteSpace="true", ignoreTrailingWhiteSpace="true")
csv("unicode", "é,1\n🌊,2\nß\u0308,3\n", AB)
csv("nul", "x\u0000y,1\n", AB)
csv("control characters", "x\u0001y,1\n\u001f,2\n", AB)

# ---- CSV: any mixture of quotes, escapes, separators and blanks
THREE = "a STRING, b STRING, c STRING"


def mixture(random, alphabet, longest):
    return "".join(random.choice(alphabet) for _ in range(random.randint(1, longest)))


for name, alphabet, options in [
    ("the usual options", '"",x\\\\ ', {}),
    ("quotes that escape quotes", '"",x\\ ', {"escape": '"'}),
    ("another escape", "\"\",x%% ", {"escape": "%"}),
    ("blanks that don't count", '"",x\\ \t', {"ignoreLeadingWhiteSpace": "true", "ignoreTrailingWhiteSpace": "true"}),
    ("tabs between values", '""\tx\\ ', {"sep": "\\t"}),
    ("long separators", "::x\\\\ ", {"sep": "::"}),
    ("comments", '"#,x\\ ', {"comment": "#"}),
    ("values for empty and null", '"",xN', {"emptyValue": "E", "nullValue": "N"}),
]:
    random = Random(20261129)
    csv("mixtures with " + name, "\n".join(mixture(random, alphabet, 9) for _ in range(250)) + "\n", THREE, **options)
random = Random(7)
files = {f"{number:03}.csv": mixture(random, '"",x \n\n', 12) for number in range(150)}
case("csv mixtures of several lines", "csv", files, THREE, multiLine="true")

# ---- CSV: null and empty
csv("empty values", "x,\n,1\n,\n", AB)
csv("empty quoted values", '"",1\n,2\n"",""\n', "a STRING, b STRING")
csv("nullValue", "NULL,1\nx,NULL\n\"NULL\",3\n,4\n", AB, nullValue="NULL")
csv("nullValue of one column type", "-,-\n", AB, nullValue="-")
csv("emptyValue", '"",1\n,2\n', AB, emptyValue="EMPTY")
csv("emptyValue and nullValue", '"",1\n,2\nNULL,3\n', AB, emptyValue="EMPTY", nullValue="NULL")
csv("nan and infinities", "NaN\nInf\n-Inf\nInfinity\n-Infinity\nnan\n", "d DOUBLE")
csv("own nan and infinities", "x\ny\n-y\n", "d FLOAT", nanValue="x", positiveInf="y", negativeInf="-y")
csv("nan in other columns", "NaN,NaN\n", "a STRING, d DECIMAL(5,2)")

# ---- CSV: rows of another width
csv("too few values", "x,1\ny\n", ABC)
csv("too many values", "x,1,z,w\ny,2,v\n", ABC)
for mode in ["PERMISSIVE", "DROPMALFORMED", "FAILFAST", "permissive"]:
    csv("too few values, " + mode, "1,2,3\n4\n5,6,7\n", "a INT, b INT, c INT", mode=mode)
    csv("too many values, " + mode, "1,2\n4,5,6\n", "a INT, b INT", mode=mode)
    csv("no number, " + mode, "1,2\nx,3\n4,y\n5,6\n", "a INT, b INT", mode=mode)
csv("corrupt column", "1,2\nx,3\n4\n5,6,7\n", CORRUPT)
csv("corrupt column first", "1,2\nx,3\n", "_corrupt_record STRING, a INT, b INT")
csv("corrupt column in the middle", "1,2\nx,3\n", "a INT, _corrupt_record STRING, b INT")
csv("corrupt column of another name", "1,2\nx,3\n", "a INT, b INT, bad STRING", columnNameOfCorruptRecord="bad")
csv("corrupt column of another type", "1,2\nx,3\n", "a INT, b INT, _corrupt_record INT")
csv("corrupt column, dropmalformed", "1,2\nx,3\n", CORRUPT, mode="DROPMALFORMED")
csv("corrupt rows where no bad column is read", "1,2\nx,3\n", "a INT, b INT", select=["b"])
csv("malformed rows are dropped by the columns read", "1,2\nx,3\n", "a INT, b INT", select=["b"], mode="DROPMALFORMED")
csv("failfast by the columns read", "1,2\nx,3\n", "a INT, b INT", select=["b"], mode="FAILFAST")

# ---- CSV: values of types
for name, type, values in [
    ("boolean", "BOOLEAN", ["true", "false", "TRUE", "True", "tRuE", "t", "yes", "1", "0", " true", "true "]),
    ("tinyint", "TINYINT", ["0", "127", "-128", "128", "+1", "01", "1.0", "1e1", " 1", "0x1", "1L", "-0", "--1"]),
    ("smallint", "SMALLINT", ["32767", "32768", "-32768"]),
    ("int", "INT", ["2147483647", "2147483648", "-2147483648", "1_000", "1,000", "1.5", "", "+", "-"]),
    ("bigint", "BIGINT", ["9223372036854775807", "9223372036854775808", "-9223372036854775808", "1d"]),
    ("float", "FLOAT", ["1.5", "1e38", "3.5e38", "1e-46", "0.1", "1f", "1d", "0x1p3", " 1.5", "1,5", "+1.5", ".5", "5.", "1e", "-0.0", "NAN"]),
    ("double", "DOUBLE", ["1.5", "1e308", "1e309", "4.9e-324", "0.1", "1D", "1F", "123456789012345678", "1e5", "1E5", "1_0"]),
    ("decimal", "DECIMAL(5,2)", ["1.5", "123.45", "123.456", "1234.5", "999.995", "-0.001", "1e2", "1e-2", " 1", "1,234", "1,234.5", "+1", "abc", ".5", "5."]),
    ("wide decimal", "DECIMAL(38,0)", ["12345678901234567890123456789012345678", "123456789012345678901234567890123456789", "1.5", "0.5", "2.5"]),
    ("date", "DATE", ["2024-01-31", "2024-1-31", "2024-01-31 10:00:00", "2024-01-31T10:00:00", "2024-02-30", "0001-01-01", "9999-12-31", "10000-01-01", "2024", "2024-01", "20240131", "31.1.2024", " 2024-01-31", "2024-01-31 ", "-0001-01-01", "1582-10-10"]),
    ("timestamp", "TIMESTAMP", ["2024-01-31 10:11:12", "2024-01-31T10:11:12", "2024-01-31T10:11:12Z", "2024-01-31T10:11:12+02:00", "2024-01-31T10:11:12.123456", "2024-01-31T10:11:12.1234567", "2024-01-31 10:11", "2024-01-31", "2024-01-31 10", "2024-01-31T10:11:12 Europe/Berlin", "2024-01-31T10:11:12.5+0200", "2024-01-31T25:00:00", "1706695872", "2024-1-1 1:2:3", "0001-01-01T00:00:00", "9999-12-31T23:59:59.999999", "2024-01-31T10:11:12 UTC+1", "2024-06-31T00:00:00"]),
    ("timestamp_ntz", "TIMESTAMP_NTZ", ["2024-01-31 10:11:12", "2024-01-31T10:11:12", "2024-01-31T10:11:12Z", "2024-01-31T10:11:12+02:00", "2024-01-31T10:11:12.123456", "2024-01-31", "2024-01-31 10:11"]),
    ("string", "STRING", ["x", "1", "true"]),
    ("binary", "BINARY", ["x", "1"]),
]:
    text = "".join('"%s",%d\n' % (value, number) for number, value in enumerate(values))
    csv("values of " + name, text, f"v {type}, n INT, _corrupt_record STRING")
csv("a type that CSV does not have", "x\n", "v ARRAY<INT>")
csv("dateFormat", "31.01.2024\n1.1.2024\n2024-01-31\n", "d DATE", dateFormat="dd.MM.yyyy")
csv("dateFormat with names", "31 Jan 2024\n1 February 2024\n", "d DATE", dateFormat="d MMM yyyy")
csv("timestampFormat", "31.01.2024 10:11\n2024-01-31 10:11:12\n", "t TIMESTAMP", timestampFormat="dd.MM.yyyy HH:mm")
csv("timestampFormat with fraction and zone", "2024/01/31 10:11:12.123 +0200\n", "t TIMESTAMP", timestampFormat="yyyy/MM/dd HH:mm:ss.SSS Z")
csv("timestampFormat optional parts", "2024-01-31T10:11:12\n2024-01-31T10:11:12.5\n2024-01-31T10:11:12.500Z\n", "t TIMESTAMP", timestampFormat="yyyy-MM-dd'T'HH:mm:ss[.SSS][XXX]")
csv("timestampFormat am pm", "01/31/2024 10:11 PM\n", "t TIMESTAMP", timestampFormat="MM/dd/yyyy hh:mm a")
csv("timestampNTZFormat", "31.01.2024 10:11\n", "t TIMESTAMP_NTZ", timestampNTZFormat="dd.MM.yyyy HH:mm")
csv("timeZone", "2024-01-31T10:11:12\n2024-07-31T10:11:12\n", "t TIMESTAMP", timeZone="America/New_York")

# ---- CSV: inference
csv("inferred names", "x,1\n", None)
csv("inferred names of the longest row", "x\ny,1\n", None)
csv("inferred from a header", "a,b,a,\nx,1,2,3\n", None, header="true")
csv("inferred from a header of blanks", " a , b\nx,1\n", None, header="true")
INFER = {"inferSchema": "true"}
for name, values in [
    ("ints", ["1", "2"]), ("int and bigint", ["1", "3000000000"]), ("beyond bigint", ["1", "9223372036854775808"]),
    ("int and double", ["1", "1.5"]), ("double", ["1e3", "NaN"]), ("infinity", ["Inf", "1"]), ("booleans", ["true", "False"]), ("bool and int", ["true", "1"]),
    ("dates", ["2024-01-31", "2024-02-01"]), ("date and timestamp", ["2024-01-31", "2024-02-01 10:00:00"]), ("timestamps", ["2024-01-31T10:00:00", "2024-02-01 10:00:00.5"]),
    ("timestamp with zone", ["2024-01-31T10:00:00+02:00"]), ("date and int", ["2024-01-31", "1"]), ("nulls", ["", "1"]), ("all null", ["", ""]), ("text", ["x", "1"]),
    ("leading zeros", ["007", "1"]), ("signs", ["+1", "-1"]), ("decimal", ["1.0", "2"]), ("big decimal", ["123456789012345678901234567890"]), ("years", ["2024", "2023"]), ("blanks", [" 1", "2 "]),
    ("date and null", ["2024-01-31", ""]), ("timestamp and bool", ["2024-01-31T10:00:00", "true"]),
]:
    csv("inferred " + name, "".join(f"{value},x\n" for value in values), None, **INFER)
csv("inferred with dateFormat", "31.01.2024,1\n", None, dateFormat="dd.MM.yyyy", **INFER)
csv("inferred with timestampFormat", "31.01.2024 10:00,1\n", None, timestampFormat="dd.MM.yyyy HH:mm", **INFER)
csv("inferred without dates", "2024-01-31,1\n", None, preferDate="false", **INFER)
csv("inferred with nullValue", "NULL,1\n2,NULL\n", None, nullValue="NULL", **INFER)
csv("inferred, rows too long", "1,2\n3,4,5\n", None, **INFER)
csv("inferred, multiLine", 'a,b\n"x\ny",1\n', None, header="true", multiLine="true", **INFER)
csv("enforceSchema off", "b,a\n1,2\n", "a INT, b INT", header="true", enforceSchema="false")
csv("enforceSchema off, a column too few", "a\n1\n", "a INT, b INT", header="true", enforceSchema="false")
csv("enforceSchema off, some columns read", "b,a\n1,2\n", "a INT, b INT", select=["a"], header="true", enforceSchema="false")
csv("enforceSchema off, no header", "1,2\n", "a INT, b INT", enforceSchema="false")
csv("enforceSchema off, header of blanks", " a,b\n1,2\n", "a INT, b INT", header="true", enforceSchema="false")
csv("enforceSchema off, same names", "A,b\n1,2\n", "a INT, b INT", header="true", enforceSchema="false")

# ---- JSON: records
jsn("plain", '{"a":"x","b":1}\n{"b":2,"a":"y"}\n', AB)
jsn("missing and unknown fields", '{"a":"x"}\n{"b":2,"c":3}\n{}\n', AB)
jsn("names of another case", '{"A":"x","B":1}\n', AB)
jsn("the same name twice", '{"a":"x","a":"y","b":1,"b":2}\n', AB)
jsn("empty lines", '\n{"a":"x"}\n\n  \n{"a":"y"}\n', AB)
jsn("crlf", '{"a":"x"}\r\n{"a":"y"}\r\n', AB)
jsn("no newline at the end", '{"a":"x"}', AB)
jsn("bom", '\ufeff{"a":"x"}\n', AB)
jsn("blanks", ' { "a" : "x" , "b" :\t1 } \n', AB)
jsn("several on a line", '{"a":"x"} {"a":"y"}\n', AB)
jsn("garbage after a record", '{"a":"x"} garbage\n{"a":"y"},\n', AB)
jsn("an array of records", '[{"a":"x"},{"a":"y"}]\n[]\n', AB)
jsn("an array of others", '[1,2]\n["x"]\n[{"a":"x"},1]\n', AB)
jsn("no records", '1\n"x"\nnull\ntrue\n', AB)
jsn("a record cut off", '{"a":"x"\n{"a":"y"}\n{"a":\n{"a"\n{\n', AB)
jsn("a cut off record keeps what it had", '{"b":1,"a":"x"\n', AB)
jsn("escapes", '{"a":"\\u00e9\\n\\t\\"\\\\\\/\\b\\f\\r"}\n{"a":"\\ud83c\\udf0a"}\n{"a":"\\x"}\n{"a":"\\ud83c"}\n', AB)
jsn("unicode", '{"a":"é🌊","é":1}\n', "a STRING, `é` INT")
jsn("control characters", '{"a":"x\ty"}\n', AB)
jsn("control characters allowed", '{"a":"x\ty"}\n', AB, allowUnquotedControlChars="true")
jsn("comments", '{"a":"x" /* c */}\n', AB)
jsn("comments allowed", '{"a":"x" /* c */, "b": 1 // d\n}\n', AB, allowComments="true")
jsn("unquoted names", "{a:\"x\"}\n", AB)
jsn("unquoted names allowed", "{a:\"x\"}\n", AB, allowUnquotedFieldNames="true")
jsn("single quotes", "{'a':'x'}\n", AB)
jsn("single quotes refused", "{'a':'x'}\n", AB, allowSingleQuotes="false")
jsn("leading zeros", '{"b":007}\n', AB)
jsn("leading zeros allowed", '{"b":007}\n', AB, allowNumericLeadingZeros="true")
jsn("any escapes allowed", '{"a":"\\x"}\n', AB, allowBackslashEscapingAnyCharacter="true")
jsn("no numbers", '{"d":NaN}\n{"d":Infinity}\n{"d":-Infinity}\n{"d":+Infinity}\n{"d":INF}\n{"d":"NaN"}\n{"d":"-INF"}\n', "d DOUBLE")
jsn("no numbers refused", '{"d":NaN}\n{"d":"NaN"}\n', "d DOUBLE", allowNonNumericNumbers="false")
jsn("multiLine record", '{\n"a":"x",\n"b":1}\n', AB, multiLine="true")
jsn("multiLine array", '[\n{"a":"x"},\n{"a":"y"}]\n', AB, multiLine="true")
jsn("multiLine several", '{"a":"x"}\n{"a":"y"}\n', AB, multiLine="true")
jsn("lineSep", '{"a":"x"};{"a":"y"};', AB, lineSep=";")
jsn("primitivesAsString", '{"a":1,"b":true,"c":1.50,"d":null,"e":{"f":1}}\n', None, primitivesAsString="true")
jsn("trailing comma", '{"a":"x",}\n{"a":"y"}\n', AB)
jsn("deep", '{"a":' + "[" * 20 + "]" * 20 + "}\n", AB)

# ---- JSON: modes
BAD = '{"a":1,"b":2}\n{"a":"x","b":3}\n{"a":4\n{"a":5,"b":6}\n'
for mode in ["PERMISSIVE", "DROPMALFORMED", "FAILFAST"]:
    jsn("bad records, " + mode, BAD, "a INT, b INT", mode=mode)
    jsn("bad records with a corrupt column, " + mode, BAD, CORRUPT, mode=mode)
jsn("corrupt column of another name", BAD, "a INT, b INT, bad STRING", columnNameOfCorruptRecord="bad")
jsn("corrupt column first", BAD, "_corrupt_record STRING, a INT, b INT")
jsn("corrupt record of an array", '[{"a":1},{"a":"x"}]\n', CORRUPT)
jsn("bad where it is not read", '{"a":"x","b":3}\n', "a INT, b INT", select=["b"])

# ---- JSON: values of types
for name, type, values in [
    ("string", "STRING", ['"x"', "1", "1.50", "1e3", "true", "null", '{"x": 1}', '{"x" :  [1, "\\\\u00e9",null]}', '[1, "y"]', "-0", "1E400", '""']),
    ("boolean", "BOOLEAN", ["true", "false", '"true"', "1", "0", "null"]),
    ("tinyint", "TINYINT", ["1", "127", "128", "-128", "1.0", "1.5", '"1"', "true", "1e1"]),
    ("int", "INT", ["1", "2147483648", "1.0", '"1"', "1e2", "null", "[]", "{}", "true"]),
    ("bigint", "BIGINT", ["9223372036854775807", "9223372036854775808", "1.0", '"1"', "-1"]),
    ("float", "FLOAT", ["1.5", "1", "1e39", '"1.5"', '"NaN"', '"Infinity"', "0.1", "true"]),
    ("double", "DOUBLE", ["1.5", "1", "1e309", '"1.5"', '"NaN"', '"x"', "123456789012345678"]),
    ("decimal", "DECIMAL(5,2)", ["1.5", "1", "123.456", "1234.5", '"1.5"', '"1,234.5"', '"1,000"', "1e2", '"x"']),
    ("date", "DATE", ['"2024-01-31"', '"2024-1-31"', '"2024-01-31T10:00:00"', "19753", '"x"', "null", '"2024-02-30"', '"2024"']),
    ("timestamp", "TIMESTAMP", ['"2024-01-31T10:11:12"', '"2024-01-31 10:11:12.5"', '"2024-01-31T10:11:12+02:00"', "1706695872", "1706695872.5", '"1706695872"', '"2024-01-31"', '"x"', "true"]),
    ("timestamp_ntz", "TIMESTAMP_NTZ", ['"2024-01-31T10:11:12"', '"2024-01-31T10:11:12Z"', "1706695872", '"2024-01-31"']),
    ("binary", "BINARY", ['"eA=="', '"x"', "1", '""']),
    ("array", "ARRAY<INT>", ["[1,2]", "[]", "null", "[1,null]", '[1,"x"]', "1", '"[1]"', '{"x":1}', "[[1]]"]),
    ("map", "MAP<STRING,INT>", ['{"x":1,"y":null}', "{}", '{"x":"y"}', "null", "[1]", '"x"']),
    ("struct", "STRUCT<x:INT,y:STRING>", ['{"x":1,"y":"z"}', "{}", '{"x":"bad","y":"z"}', "null", "1", "[1]", '[{"x":1}]', '{"y":1,"X":2}']),
    ("array of structs", "ARRAY<STRUCT<x:INT>>", ['[{"x":1},{"x":"bad"},null,{}]', '{"x":1}', "[1]"]),
    ("map of arrays", "MAP<STRING,ARRAY<DATE>>", ['{"x":["2024-01-31",null]}', '{"x":["bad"]}']),
]:
    text = "".join('{"v":%s,"n":%d}\n' % (value, number) for number, value in enumerate(values))
    jsn("values of " + name, text, f"v {type}, n INT, _corrupt_record STRING")
jsn("dateFormat", '{"d":"31.01.2024"}\n{"d":"2024-01-31"}\n', "d DATE", dateFormat="dd.MM.yyyy")
jsn("timestampFormat", '{"t":"31.01.2024 10:11"}\n{"t":"2024-01-31T10:11:12"}\n', "t TIMESTAMP", timestampFormat="dd.MM.yyyy HH:mm")
jsn("timeZone", '{"t":"2024-01-31T10:11:12"}\n', "t TIMESTAMP", timeZone="Asia/Tokyo")

# ---- JSON: inference
for name, values in [
    ("ints", ["1", "2"]), ("int and double", ["1", "1.5"]), ("beyond bigint", ["1", "9223372036854775808"]), ("huge", ["1e400", "12345678901234567890123456789012345678901"]),
    ("strings", ['"x"', "null"]), ("string and int", ['"x"', "1"]), ("booleans", ["true", "null"]), ("bool and int", ["true", "1"]), ("nulls", ["null", "null"]),
    ("arrays", ["[1]", "[1.5,null]"]), ("empty arrays", ["[]", "[]"]), ("empty and full arrays", ["[]", "[1]"]), ("mixed arrays", ['[1,"x"]']), ("nested arrays", ["[[1],[]]"]),
    ("structs", ['{"x":1}', '{"y":"z"}']), ("struct and string", ['{"x":1}', '"y"']), ("struct and array", ['{"x":1}', "[1]"]), ("structs of another type", ['{"x":1}', '{"x":"y"}']),
    ("array of structs", ['[{"x":1},{"y":2}]', "null"]), ("dates", ['"2024-01-31"']), ("timestamps", ['"2024-01-31T10:00:00"']), ("doubles", ["1.5", "NaN"]), ("decimals", ["1.123456789012345678901"]),
]:
    jsn("inferred " + name, "".join('{"v":%s}\n' % value for value in values), None)
jsn("inferred decimals of strings", '{"v":"1.5","w":"x","x":"12"}\n{"v":"100.25"}\n', None, prefersDecimal="true")
jsn("inferred, primitivesAsString and prefersDecimal", '{"v":1.5}\n', None, prefersDecimal="true", primitivesAsString="true")
jsn("inferred names are sorted", '{"b":1,"a":2}\n{"C":3}\n', None)
jsn("inferred names that differ by case", '{"a":1,"A":2}\n', None)
jsn("inferTimestamp", '{"v":"2024-01-31T10:00:00","w":"2024-01-31"}\n', None, inferTimestamp="true")
jsn("inferTimestamp with timestampFormat", '{"v":"31.01.2024 10:00"}\n', None, inferTimestamp="true", timestampFormat="dd.MM.yyyy HH:mm")
jsn("prefersDecimal", '{"v":1.5,"w":1.25e2,"x":9223372036854775808}\n{"v":10}\n', None, prefersDecimal="true")
jsn("inferred without null fields", '{"v":null,"w":[],"x":{"y":null},"z":1}\n', None, dropFieldIfAllNull="true")
jsn("inferred with bad records", '{"a":1}\n{"a":\n', None)
jsn("inferred with bad records, dropmalformed", '{"a":1}\n{"a":\n', None, mode="DROPMALFORMED")
jsn("inferred with bad records, failfast", '{"a":1}\n{"a":\n', None, mode="FAILFAST")
jsn("inferred multiLine", '[{"a":1},\n{"b":"x"}]', None, multiLine="true")
jsn("inferred from other values", '1\n"x"\n[{"a":1}]\n', None)

# ---- text
case("text", "text", "x\n\ny\r\nz")
case("text wholetext", "text", {"1.txt": "x\ny\n", "2.txt": ""}, wholetext="true")
case("text lineSep", "text", "x;y;;z", lineSep=";")
case("text of no file name", "text", {"_hidden": "no", ".hidden": "no", "a": "yes\n", "b_": "yes too\n"})

# ---- places and partitions
PLACES = {"k=1/l=x/a.csv": "1\n", "k=2/l=__HIVE_DEFAULT_PARTITION__/a.csv": "2\n", "k=10/l=a%2Fb/a.csv": "3\n"}
case("partitions", "csv", PLACES, "v INT")
case("partitions with given types", "csv", PLACES, "v INT, k STRING, l STRING")
case("partitions given first", "csv", PLACES, "k BIGINT, v INT")
case("partitions of a given type that does not fit", "csv", PLACES, "v INT, l INT")
case("partitions in columns of the file", "json", {"k=1/a.json": '{"k":5,"v":1}\n'}, "k INT, v INT")
case("partitions inferred with columns of the file", "json", {"k=1/a.json": '{"k":5,"v":1}\n'})
TIMES = {"t=2024-01-31 10%3A00%3A00/a.csv": "v\n", "t=2024-07-31 10%3A00%3A00.5/a.csv": "w\n"}
case("partitions of times in a zone", "csv", TIMES, "v STRING, t TIMESTAMP", timeZone="America/New_York")
case("partitions of inferred times in a zone", "csv", TIMES, "v STRING", timeZone="America/New_York")
IN_CSV = {"k=1/a.csv": "k,v\n5,2\n"}
case("partitions in columns of a CSV file", "csv", IN_CSV, "k INT, v INT", header="true")
case("partitions in columns of a CSV file, given last", "csv", IN_CSV, "v INT, k INT", header="true")
case("partitions inferred with columns of a CSV file", "csv", IN_CSV, header="true", **INFER)
case("empty files", "json", {"a.json": "", "b.json": '{"v":1}\n'}, "v INT")
for name, values in [
    ("ints", ["1", "02"]), ("bigints", ["1", "3000000000"]), ("decimals", ["1", "99999999999999999999"]), ("doubles", ["1", "1.5"]), ("dates", ["2024-01-31", "2024-02-01"]), ("timestamps", ["2024-01-31 10:00:00", "2024-01-31"]),
    ("text", ["1", "x"]), ("booleans", ["true", "false"]), ("null", ["1", "__HIVE_DEFAULT_PARTITION__"]), ("blanks", [" 1", "2"]), ("signs", ["-1", "+2"]), ("exponents", ["1e3"]), ("suffixes", ["1d", "2f"]),
]:
    case("partition types of " + name, "csv", {f"p={value.replace(':', '%3A')}/a.csv": "v\n" for value in values}, "v STRING")
case("partition names of another case", "csv", {"K=1/a.csv": "v\n", "k=2/a.csv": "v\n"}, "v STRING, k INT")
case("partition names in capitals", "csv", {"K=1/a.csv": "v\n"}, "v STRING")
case("partitions at different depths", "csv", {"k=1/a.csv": "v\n", "k=2/l=3/a.csv": "v\n"}, "v STRING")
case("recursive lookup", "csv", {"a.csv": "1\n", "x/b.csv": "2\n", "x/y=1/c.csv": "3\n", "_z/d.csv": "4\n"}, "v INT", recursiveFileLookup="true")
case("no recursive lookup", "csv", {"a.csv": "1\n", "x/b.csv": "2\n"}, "v INT")
case("pathGlobFilter", "csv", {"a.csv": "1\n", "b.txt": "2\n", "c1.csv": "3\n"}, "v INT", pathGlobFilter="[ab]*.{csv,txt}")


# ---- what is written
WRITES = []


def write(name, format, rows, **options):
    """`rows` is a query, whose rows are written in this order."""
    WRITES.append({"name": f"{format} written: {name}", "format": format, "rows": rows, "options": options})


def texts(*values):
    literals = ", ".join("(%s, %d)" % ("NULL" if value is None else "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'", number) for number, value in enumerate(values))
    return f"SELECT * FROM VALUES {literals} AS t(a, b)"


SOME = ["x", "", None, "a,b", 'say "x"', '"', '""', 'x"', "a\\", "\\", '\\"', 'a\\,b', "l1\nl2", "cr\rlf\r\n", " x ", " ", "\t", "tab\tx", "#x", "é🌊", "NULL", "a;b", "'", "\u0001", "a:b", "a::b", "a|b", "a%b"]
for name, options in [
    ("usual", {}), ("header", {"header": "true"}), ("sep", {"sep": ";"}), ("tabs", {"sep": "\\t"}), ("long sep", {"sep": "::"}), ("quote", {"quote": "'"}), ("no quote", {"quote": "\u0000"}),
    ("escape is quote", {"escape": '"'}), ("another escape", {"escape": "%"}), ("quoteAll", {"quoteAll": "true"}), ("escapeQuotes off", {"escapeQuotes": "false"}),
    ("nullValue", {"nullValue": "NULL"}), ("emptyValue", {"emptyValue": "EMPTY"}), ("empty emptyValue", {"emptyValue": ""}), ("blanks kept", {"ignoreLeadingWhiteSpace": "false", "ignoreTrailingWhiteSpace": "false"}),
    ("comment", {"comment": "#"}), ("lineSep", {"lineSep": "|"}), ("charToEscapeQuoteEscaping", {"charToEscapeQuoteEscaping": "!"}),
]:
    write("texts, " + name, "csv", texts(*SOME), **options)
write("one column", "csv", "SELECT a FROM VALUES ('x'), (''), (' ') AS t(a)")
random = Random(11)
write("mixtures", "csv", texts(*[mixture(random, '"\\, x\n', 7) for _ in range(200)]))
write("mixtures with quotes that escape quotes", "csv", texts(*[mixture(random, '"\\, x\n', 7) for _ in range(200)]), escape='"')
VALUES = """SELECT * FROM VALUES
  (true, 1Y, 2S, 3, 4L, 1.5F, 1e7D, 1.50BD, DATE'2024-01-31', TIMESTAMP'2024-01-31 10:11:12.123456', TIMESTAMP_NTZ'2024-01-31 10:11:12.5'),
  (false, -128Y, -32768S, -2147483648, -9223372036854775808L, float('NaN'), double('-Infinity'), -0.01BD, DATE'0001-01-01', TIMESTAMP'0001-01-01 00:00:00', TIMESTAMP_NTZ'9999-12-31 23:59:59.999999'),
  (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
  (true, 1Y, 2S, 3, 4L, 1.0E-4F, 123456789.125D, 99.99BD, DATE'9999-12-31', TIMESTAMP'1969-12-31 23:59:59.999', TIMESTAMP_NTZ'1969-12-31 00:00:00')
  AS t(b, i1, i2, i4, i8, f4, f8, d, day, at, clock)"""
for format in ["csv", "json"]:
    write("values", format, VALUES)
    write("values in a zone", format, VALUES, timeZone="America/New_York")
    write("timestampFormat", format, VALUES, timestampFormat="yyyy/MM/dd HH:mm:ss.SSSSSS XXX", dateFormat="dd.MM.yyyy", timestampNTZFormat="HH:mm dd.MM.yyyy")
NESTED = """SELECT * FROM VALUES
  ('x', array(1, NULL), map('k', 1, 'l', NULL), named_struct('x', 1, 'y', CAST(NULL AS STRING)), X'00FF', array(named_struct('z', TIMESTAMP'2024-01-31 10:11:12'))),
  (NULL, array(), map(), NULL, NULL, NULL),
  ('q"\\\\/é🌊\t\u0001\u007f\u2028', NULL, NULL, named_struct('x', NULL, 'y', ''), X'', array(NULL))
  AS t(s, a, m, st, bin, deep)"""
write("nested", "json", NESTED)
write("nulls kept", "json", NESTED, ignoreNullFields="false")
write("lineSep", "json", NESTED, lineSep="|")
write("codes of characters", "json", NESTED, writeNonAsciiCharacterAsCodePoint="true")
write("lineSep", "text", "SELECT a FROM VALUES ('x'), (''), (NULL), ('y') AS t(a)", lineSep="|")


for name, kind, values in [
    ("booleans", "BOOLEAN", ["true", "NULL"]), ("numbers", "INT", ["1", "-2", "NULL"]), ("doubles", "DOUBLE", ["1.5D", "1e10D", "double('NaN')", "-0.0D"]), ("decimals", "DECIMAL(5,2)", ["1.5BD", "0BD"]),
    ("dates", "DATE", ["DATE'2024-01-31'", "NULL"]), ("times", "TIMESTAMP", ["TIMESTAMP'2024-01-31 10:00:00'", "TIMESTAMP'2024-01-31 10:00:00.123'", "TIMESTAMP'1969-12-31 23:59:59.999999'"]), ("clocks", "TIMESTAMP_NTZ", ["TIMESTAMP_NTZ'2024-01-31 10:00:00.5'"]),
    ("texts", "STRING", ["'a'", "''", "NULL", "'a/b:c=d%e#f'", "'é 🌊'", "' x '", "'{[^]}?*\"<>|'", "'a\\\\b'", "'tab\\t'", "'.x'", "'_x'"]),
]:
    rows = " UNION ALL ".join(f"SELECT CAST({value} AS {kind}) AS k, 1 AS v" for value in values)
    WRITES.append({"name": f"partitions written: {name}", "format": "json", "rows": rows, "options": {}, "partitions": ["k"]})
    if name == "times":
        WRITES.append({"name": "partitions written: times in a zone", "format": "json", "rows": rows, "options": {"timeZone": "America/New_York"}, "partitions": ["k"]})


def written(spark, case):
    directory = tempfile.mkdtemp()
    try:
        frame = spark.sql(case["rows"]).coalesce(1)
        frame.write.partitionBy(*case.get("partitions", [])).format(case["format"]).mode("overwrite").options(**case["options"]).save(directory)
        if "partitions" in case:
            return {"text": "".join(sorted(f"{name}\n" for name in os.listdir(directory) if "=" in name))}
        parts = sorted(name for name in os.listdir(directory) if name.startswith("part-"))
        return {"text": b"".join(open(os.path.join(directory, name), "rb").read() for name in parts).decode()}
    except Exception as error:
        return {"error": list(dict.fromkeys(re.findall(r"\[([A-Z][A-Z0-9_.]+)\]", str(error)))) or [type(error).__name__]}
    finally:
        shutil.rmtree(directory)


def string_of(directory, case, spark):
    reader = spark.read.format(case["format"])
    if case["schema"]:
        reader = reader.schema(case["schema"])
    frame = reader.options(**case["options"]).load(directory)
    if case["select"]:
        frame = frame.select(*case["select"])
    columns = [[field.name, field.dataType.simpleString()] for field in frame.schema.fields]
    # Several columns may have one name.
    frame = frame.toDF(*[f"c{number}" for number in range(len(columns))])
    rows = frame.select([col(name).cast("string") for name in frame.columns]).collect()
    return {"columns": columns, "rows": sorted([list(row) for row in rows], key=repr)}


def record(spark, case):
    directory = tempfile.mkdtemp()
    try:
        for path, content in case["files"].items():
            full = os.path.join(directory, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as file:
                file.write(content.encode())
        try:
            return string_of(directory, case, spark)
        except Exception as error:
            # The conditions of all causes, the outermost first.
            conditions = re.findall(r"\[([A-Z][A-Z0-9_.]+)\]", str(error))
            return {"error": list(dict.fromkeys(conditions)) or [type(error).__name__]}
    finally:
        shutil.rmtree(directory)


def main():
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    spark = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    names = [case["name"] for case in CASES + WRITES]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    recorded = [{**case, "expect": record(spark, case)} for case in CASES]
    writes = [{**case, "expect": written(spark, case)} for case in WRITES]

    def lines(cases):
        return ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)

    sys.stdout.write(
        f'{{"recorded_from": "Apache Spark {spark.version}", "cases": [\n{lines(recorded)}\n], "writes": [\n{lines(writes)}\n]}}\n'
    )


main()
