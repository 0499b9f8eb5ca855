#!/usr/bin/env python3
"""Records what Google's Python implementation makes of Protobuf messages: vectors.desc and protobuf.json beside this file.

  python3 -m venv venv && venv/bin/pip install protobuf grpcio-tools
  venv/bin/python protobuf.py
"""
import json
import os
from importlib import resources

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_tools import protoc

HERE = os.path.dirname(os.path.abspath(__file__))
DESCRIPTORS = os.path.join(HERE, "vectors.desc")

EVERYTHING = {
    "i32": -7, "i64": 1 << 40, "u32": 4294967295, "u64": 18446744073709551615, "s32": -70000, "s64": -(1 << 40), "f32": 9, "f64": 10,
    "sf32": -9, "sf64": -10, "real": 1.5, "wide": -2.25, "flag": True, "text": "tide ✓", "raw": "AP8=", "color": "BLUE",
    "packed": [1, -1, 300], "loose": [-1, 2], "texts": ["a", ""], "counts": {"k": 5, "": 0}, "inners": {"3": {"x": "three"}, "0": {}},
    "inner": {"x": "in", "y": [0.5, -0.5]}, "number": 12, "maybe": 0, "at": "1969-12-31T23:59:59.999999Z", "took": "-1.500s",
    "wrapped": 0, "wrapped_text": "w", "colors": ["RED", "NONE"], "list": [{"x": "1"}, {}],
}


def main():
    include = str(resources.files("grpc_tools") / "_proto")
    failed = protoc.main(["protoc", f"-I{HERE}", f"-I{include}", "--include_imports", f"--descriptor_set_out={DESCRIPTORS}",
                          "vectors.proto", "vectors2.proto"])
    assert not failed
    files = descriptor_pb2.FileDescriptorSet.FromString(open(DESCRIPTORS, "rb").read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    make = lambda name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    written = lambda name, value: json_format.ParseDict(value, make(name)(), descriptor_pool=pool).SerializeToString(deterministic=True)
    cases = {
        "everything": written("tide.Everything", EVERYTHING),
        "nothing": b"",
        "person": written("tide.Person", {"name": "a", "friend": {"name": "b", "friend": {"name": "c"}}, "others": [{"name": "d"}]}),
        "empty": written("tide.HasEmpty", {"empty": {}, "n": 1}),
        "old": written("tide2.Old", {"id": 1, "size": "LARGE", "part": [{"n": 1}, {}], "single": {"s": "x"}}),
    }
    cases = {name: message.hex() for name, message in cases.items()}
    with open(os.path.join(HERE, "protobuf.json"), "w") as out:
        json.dump(cases, out, indent=1)
        out.write("\n")


main()
