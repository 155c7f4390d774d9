# Writes objects to a pool until the end of its input, and watches the cluster meanwhile. Argument: the pool.
# Says "ready" when it is connected, and at its end, on one line of JSON, what it wrote and saw.
import json
import os
import sys
import threading
import time

import rados

WRITERS = 2
OBJECTS = 100
SIZE = 16384
# A write that takes longer than this failed.
LIMIT = "60"

cluster = rados.Rados(
    conffile=os.environ["CEPH_CONF"],
    conf={"rados_osd_op_timeout": LIMIT, "rados_mon_op_timeout": LIMIT, "client_mount_timeout": LIMIT},
)
cluster.connect()
over = threading.Event()
failed, last, slowest, counts = [], {}, [0.0], [0] * WRITERS


def content(writer, number):
    return f"{writer} {number} ".encode().ljust(SIZE, b".")


def write(writer):
    pool = cluster.open_ioctx(sys.argv[1])
    while not over.is_set():
        number = counts[writer]
        name = f"object-{writer}-{number % OBJECTS}"
        began = time.monotonic()
        try:
            pool.write_full(name, content(writer, number))
            last[name] = number
        except rados.Error as error:
            failed.append(f"{name} number {number} after {time.monotonic() - began:.1f} s: {error}")
            last.pop(name, None)
        slowest[0] = max(slowest[0], time.monotonic() - began)
        counts[writer] = number + 1
        time.sleep(0.02)


def ask(prefix):
    code, out, said = cluster.mon_command(json.dumps({"prefix": prefix, "format": "json"}), b"", timeout=30)
    if code:
        raise rados.Error(f"{prefix}: {said}")
    return json.loads(out)


# How the cluster was, one entry for each change.
seen = []


def look():
    status, dump = ask("status"), ask("osd dump")
    return {
        "health": status["health"]["status"],
        "down": sorted(osd["osd"] for osd in dump["osds"] if not osd["up"]),
        "mons": sorted(status["quorum_names"]),
        "flags": sorted(name for name, flags in dump["crush_node_flags"].items() if flags),
    }


def watch():
    while not over.is_set():
        try:
            found = look()
            if not seen or seen[-1] != found:
                seen.append(found)
        except (rados.Error, ValueError):
            # While monitors elect a leader nobody says anything.
            pass
        time.sleep(0.5)


workers = [threading.Thread(target=write, args=(writer,)) for writer in range(WRITERS)]
workers.append(threading.Thread(target=watch))
for worker in workers:
    worker.start()
print("ready", flush=True)
sys.stdin.read()
over.set()
for worker in workers:
    worker.join()
pool = cluster.open_ioctx(sys.argv[1])
wrong = []
for name, number in last.items():
    writer = int(name.split("-")[1])
    if pool.read(name, SIZE + 1) != content(writer, number):
        wrong.append(name)
print(json.dumps({"written": sum(counts), "failed": failed, "wrong": wrong, "slowest": slowest[0], "seen": seen}))
