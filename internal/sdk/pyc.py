"""Tells whether two .pyc files hold the same code.

Asked on the standard input: the lengths of both, 4 bytes each, then both. Answers a line each: "same", "other", or why
it cannot tell. Bytes do not tell: marshal marks objects that were referred to more than once when it wrote them, by
whatever else there was in that process.
"""
import importlib.util
import marshal
import struct
import sys

ATTRIBUTES = [
    "co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_stacksize", "co_flags", "co_code", "co_consts", "co_names",
    "co_varnames", "co_freevars", "co_cellvars", "co_filename", "co_name", "co_qualname", "co_firstlineno", "co_linetable",
    "co_exceptiontable",
]
CODE = type((lambda: 0).__code__)


def plain(value):
    """Gives what has the same text for the same value: 1, 1.0 and True are equal to Python, and are not the same."""
    if isinstance(value, CODE):
        return [plain(getattr(value, name, None)) for name in ATTRIBUTES]
    if isinstance(value, (tuple, list)):
        return [type(value).__name__, [plain(item) for item in value]]
    if isinstance(value, (frozenset, set)):  # Their order depends on how they were made.
        return [type(value).__name__, sorted(repr(plain(item)) for item in value)]
    if isinstance(value, slice):
        return ["slice", plain(value.start), plain(value.stop), plain(value.step)]
    if isinstance(value, float):
        return ["float", struct.pack("<d", value)]
    if isinstance(value, complex):
        return ["complex", struct.pack("<2d", value.real, value.imag)]
    return [type(value).__name__, value if isinstance(value, (str, bytes)) else repr(value)]


def header(content):
    """The header but for the source's time, which it has when the first flag is not set (PEP 552)."""
    magic, flags = content[:4], content[4:8]
    return magic, flags, content[8:16] if flags[0] & 1 else content[12:16]


def answer(want, got):
    if len(want) < 16 or len(got) < 16 or header(want) != header(got):
        return "other"
    if want[16:] == got[16:]:
        return "same"
    if want[:4] != importlib.util.MAGIC_NUMBER:
        return "Python %d.%d does not read .pyc files of another version" % sys.version_info[:2]
    try:
        return "same" if plain(marshal.loads(want[16:])) == plain(marshal.loads(got[16:])) else "other"
    except Exception:
        return "other"  # One of them is broken: it does not hold what the other does.


def main():
    sys.setrecursionlimit(10000)
    source = sys.stdin.buffer
    while lengths := source.read(8):
        want, got = (source.read(length) for length in struct.unpack(">2I", lengths))
        print(answer(want, got), flush=True)


main()
