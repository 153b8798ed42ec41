"""Builds the one extension module. Switches (environment): FRMCORE_SANITIZE=1 (ASAN and UBSAN, one malloc a record),
FRMCORE_DEBUG=1 (assertions, no optimisation)."""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

SANITIZE = os.environ.get("FRMCORE_SANITIZE") == "1"
DEBUG = os.environ.get("FRMCORE_DEBUG") == "1"

# Bit-for-bit decisions on any machine: no fused multiply-add, no fast-math, no machine-specific instruction set.
compile_args = ["-std=c11", "-O3", "-ffp-contract=off", "-fno-strict-aliasing", "-fwrapv", "-Wno-unused-function"]
link_args = []
macros: list[tuple[str, str | None]] = []
if DEBUG or SANITIZE:
    compile_args += ["-O1", "-g"]
    macros += [("FRMCORE_CHECKS", "1")]
if SANITIZE:
    flags = ["-fsanitize=address,undefined", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
    compile_args += flags
    link_args += flags
    macros += [("FRMCORE_MALLOC_RECORDS", "1")]

extension = Extension(
    "frmcore._fast",
    ["frmcore/_fast.pyx"],
    depends=[str(path) for path in Path("frmcore/_fast").glob("*.px[id]")],
    extra_compile_args=compile_args,
    extra_link_args=link_args,
    define_macros=macros,
)

setup(
    ext_modules=cythonize(
        [extension],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "embedsignature": True,
        },
    )
)
