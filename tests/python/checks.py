"""How the programs of this folder report: a line `ok WHAT` per check, and the end at the first that fails.

A check that cannot be made where it runs prints `skip WHAT: REASON`, so that whoever starts the program can insist on there being none.
"""

import contextlib
import os
import sys
import traceback


class Failed(Exception):
    """A check did not hold; the text says which and what was seen instead."""


_prefix = ""


@contextlib.contextmanager
def prefixed(text):
    """Every check within is reported as `ok [text] ...`."""
    global _prefix
    before, _prefix = _prefix, f"[{text}] "
    try:
        yield
    finally:
        _prefix = before


def ok(what):
    """Reports a check that held."""
    print(f"ok {_prefix}{what}", flush=True)


def skip(what, reason):
    """Reports a check that could not be made."""
    print(f"skip {_prefix}{what}: {reason}", flush=True)


def fail(what, detail):
    """Ends the program: `what` did not hold."""
    raise Failed(f"{_prefix}{what}: {detail}")


def check(condition, what, detail="it does not hold"):
    """`condition` must be true."""
    if not condition:
        fail(what, detail)
    ok(what)


def equal(actual, expected, what):
    """`actual` must equal `expected`."""
    if actual != expected:
        fail(what, f"expected {expected!r}, got {actual!r}")
    ok(what)


def contains(text, part, what):
    """`part` must occur in `text`."""
    if part not in text:
        fail(what, f"no {part!r} in {text!r}")
    ok(what)


def raises(kind, what, call, *arguments, status=None, text=None, **named):
    """`call` must raise `kind`; with this HTTP status and with this text in its message, where they are given. Returns the exception."""
    try:
        result = call(*arguments, **named)
    except kind as error:
        seen = http_status(error)
        if status is not None and seen != status:
            fail(what, f"expected status {status}, got {seen}: {error}")
        if text is not None and text not in str(error):
            fail(what, f"no {text!r} in the message {str(error)!r}")
        ok(what)
        return error
    except Exception as error:
        fail(what, f"expected {kind.__name__}, got {type(error).__name__}: {error}")
    fail(what, f"expected {kind.__name__}, but it returned {result!r}")


def http_status(error):
    """The HTTP status behind an exception of any of the client libraries, or None."""
    for name in ("http_status", "status_code"):
        if isinstance(getattr(error, name, None), int):
            return getattr(error, name)
    return getattr(getattr(error, "response", None), "status_code", None)


def need(name):
    """The value of an environment variable without which nothing can be checked."""
    value = os.environ.get(name)
    if not value:
        sys.exit(f"set {name}; tests/python/README.md says to what")
    return value


def run(program):
    """Runs a program of checks; exits 0 if all held, 1 at the first that did not."""
    try:
        program()
    except Failed as failure:
        print(f"FAILED {failure}", file=sys.stderr, flush=True)
        sys.exit(1)
    except Exception:
        traceback.print_exc()
        print(f"FAILED {_prefix}an exception that no check expects", file=sys.stderr, flush=True)
        sys.exit(1)
