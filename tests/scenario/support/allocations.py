"""Counts the allocations of a program and its children: malloc, calloc, realloc, aligned_alloc.

    allocations = Allocations(directory)
    start(..., env=allocations.env)
    before = allocations.count()"""
import os
import struct
import subprocess

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "allocations.c")


class Allocations:
    def __init__(self, directory):
        library = os.path.join(directory, "allocations.so")
        self._file = os.path.join(directory, "allocations")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-fno-builtin", "-o", library, SOURCE], check=True)
        with open(self._file, "wb") as f:
            f.write(bytes(8))
        os.chmod(self._file, 0o666) # workers have a user of their own
        self.env = {"LD_PRELOAD": library, "ALLOCATIONS": self._file}

    def count(self):
        with open(self._file, "rb") as f:
            return struct.unpack("=Q", f.read())[0]
