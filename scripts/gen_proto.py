"""gen_proto.py [--check]: the descriptors of proto/*.proto as a Python module; with --check only compares (exit 1)."""

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parent.parent
TARGET = ROOT / "src/blockdiff/csi/_pb/descriptors.py"
HEAD = '"""Made by scripts/gen_proto.py from proto/*.proto: serialized FileDescriptorProtos. Do not edit."""\n'


def compiled(name: str) -> bytes:
    """The serialized FileDescriptorProto of one file."""
    from google.protobuf import descriptor_pb2

    with tempfile.TemporaryDirectory() as place:
        out = Path(place) / "set"
        if protoc.main(["protoc", f"-I{ROOT / 'proto'}", f"--descriptor_set_out={out}", name]):
            raise SystemExit(f"{name} does not compile")
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read_bytes()).file
    return b"".join(file.SerializeToString(deterministic=True) for file in files)


def module() -> str:
    """The text of the module."""
    names = ("snapshot_metadata", "csi_snapshot_metadata")
    lines = [HEAD]
    for name in names:
        data = compiled(f"{name}.proto")
        parts = [data[at : at + 60] for at in range(0, len(data), 60)]
        body = "\n".join(f"    {part!r}" for part in parts)
        lines.append(f"{name.upper()} = (\n{body}\n)\n")
    return "\n".join(lines)


if __name__ == "__main__":
    text = module()
    if "--check" in sys.argv:
        raise SystemExit(0 if TARGET.read_text() == text else f"{TARGET} is not what {__file__} makes")
    TARGET.write_text(text)
