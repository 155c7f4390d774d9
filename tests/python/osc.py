"""Runs `openstack` command lines, each in a process of its own that begins where a started one would be after its imports.

Starting the real program costs a second of imports on every call. Here they are made once and every command line runs in a fork: the same
entry point, arguments, environment, standard output and exit status, nothing left over from the command before.

The home folder is a new one of this program's, and the working folder too: where clouds.yaml is looked for is settled by those imports.
"""

import atexit
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

HOME = Path(tempfile.mkdtemp(prefix="hostler-osc-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ["HOME"] = str(HOME)
os.environ.pop("XDG_CONFIG_HOME", None)
os.chdir(HOME)

from openstackclient import shell  # noqa: E402

from checks import check, contains, equal, fail  # noqa: E402

# The modules of all commands, which every single one imports to know their names.
for group in importlib.metadata.entry_points().groups:
    if group.startswith("openstack."):
        for entry_point in importlib.metadata.entry_points(group=group):
            entry_point.load()

# The whole environment of a command line, besides what a caller gives: none of the tester's own settings leak into it.
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Result:
    """How a command line ended."""

    line: str
    code: int
    out: str
    err: str

    def json(self):
        """Standard output as JSON."""
        try:
            return json.loads(self.out)
        except ValueError:
            fail(self.line, f"its output is no JSON: {self.out!r}")


class Running:
    """A command line that has been started."""

    def __init__(self, line, pid, out, err):
        self._line, self._pid, self._out, self._err = line, pid, out, err

    def result(self):
        """Waits for the end."""
        _, status = os.waitpid(self._pid, 0)
        texts = []
        for stream in (self._out, self._err):
            stream.seek(0)
            texts.append(stream.read().decode())
            stream.close()
        return Result(self._line, os.waitstatus_to_exitcode(status), *texts)


class Osc:
    """`openstack` with some leading options and environment: one way of logging in."""

    def __init__(self, options=(), environment=None):
        self._options, self._environment = list(options), dict(environment or {})

    def using(self, *options, **environment):
        """The same with further leading options and environment variables."""
        return Osc([*self._options, *options], {**self._environment, **environment})

    def start(self, *words):
        """Starts a command line in the background."""
        arguments = [*self._options, *map(str, words)]
        out, err = tempfile.TemporaryFile(), tempfile.TemporaryFile()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            self._become(arguments, out, err)
        return Running("openstack " + " ".join(map(str, words)), pid, out, err)

    def run(self, *words):
        """Runs a command line to its end."""
        return self.start(*words).result()

    def _become(self, arguments, out, err):
        """The child: it never returns to the program of checks."""
        code = 70
        try:
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
            os.environ.clear()
            os.environ.update(kept, HOME=str(HOME), **self._environment)
            sys.argv = ["openstack", *arguments]
            code = shell.main(arguments)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code or 0)


def succeeds(osc, *words):
    """The command line must exit 0. Returns its result."""
    return succeeded(osc.run(*words))


def succeeded(result):
    """A command line that was started must have ended with 0."""
    if result.code != 0:
        fail(result.line, f"exit status {result.code}: {result.err.strip() or result.out.strip()}")
    check(True, result.line)
    return result


def rows(osc, *words):
    """The command line must exit 0; returns its output as JSON."""
    return succeeds(osc, *words, "-f", "json").json()


def fails(osc, what, *words, text, code=1):
    """The command line must end with this exit status and this text on standard error."""
    result = osc.run(*words)
    equal(result.code, code, f"{what}: exit status {code}")
    contains(result.err, text, f"{what}: the reason is on standard error")
