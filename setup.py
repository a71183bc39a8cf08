"""The extension and its switches; everything else is in pyproject.toml.

BLOCKDIFF_SANITIZE=1   build with AddressSanitizer and UndefinedBehaviorSanitizer (run with LD_PRELOAD=libasan.so)
BLOCKDIFF_DEBUG=1      -O0 -g, assertions on
"""

import os

from Cython.Build import cythonize
from setuptools import Extension, setup

debug = os.environ.get("BLOCKDIFF_DEBUG") == "1"
sanitize = os.environ.get("BLOCKDIFF_SANITIZE") == "1"

compile_args = ["-std=gnu11", "-fno-strict-aliasing", "-Wall", "-Wno-unused-function"]
compile_args += ["-O0", "-g"] if debug else ["-O3", "-g1", "-fvisibility=hidden"]
link_args: list[str] = []
if sanitize:
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-fno-omit-frame-pointer"]
    # beside a stack protector, which Debian's Python asks for, GCC 12 does not align what AVX-512 needs aligned
    compile_args += [*flags, "-O1", "-g", "-fno-stack-protector"]
    link_args += flags


def extension(name: str, *sources: str) -> Extension:
    return Extension(
        f"blockdiff.{name}",
        [f"src/blockdiff/{name}.pyx", *(f"src/blockdiff/native/{source}" for source in sources)],
        include_dirs=["src/blockdiff/native"],
        depends=[
            f"src/blockdiff/native/{part}"
            for part in sorted(os.listdir("src/blockdiff/native"))
            if part.endswith((".pxi", ".h"))
        ],
        libraries=["dl"],
        extra_compile_args=compile_args,
        extra_link_args=link_args,
    )


setup(
    ext_modules=cythonize(
        [
            extension("_fast"),
            extension("_rbd"),
            extension("_nbd"),
            extension("_hash", "xxh3_base.c", "xxh3_avx2.c", "xxh3_avx512.c"),
        ],
        include_path=["src/blockdiff/native"],
        compiler_directives={
            "language_level": 3,
            "embedsignature": True,
            "boundscheck": debug,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
        },
    )
)
