"""Runs the script on all minions through Salt's client, again and again; prints the seconds of each round.

Usage: salt_rounds.py CONFIGURATION_FOLDER TARGETS ROUNDS [SCRIPT]

With ROUNDS 0 it waits until all minions answer, at most five minutes. SCRIPT is the path of a script that the targets have already; without
it, they fetch the script from the master.
"""

import os
import sys
import time

import salt.client
import salt.exceptions

folder, targets, rounds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
order = ("cmd.run_all", sys.argv[4]) if len(sys.argv) > 4 else ("cmd.script", "salt://noop.sh")
client = salt.client.LocalClient(os.path.join(folder, "master", "master"))


def answering():
    """How many minions answer; none while the master is busy with their arrival."""
    try:
        return len(client.cmd("*", "test.ping", timeout=5))
    except salt.exceptions.SaltClientError:
        return 0


if rounds == 0:
    deadline = time.monotonic() + 300
    while answering() < targets:
        if time.monotonic() > deadline:
            sys.exit("not all minions answer")
        time.sleep(1)

for number in range(rounds):
    began = time.monotonic()
    answers = client.cmd("*", order[0], [order[1]], timeout=60)
    took = time.monotonic() - began
    good = sum(1 for answer in answers.values() if isinstance(answer, dict) and answer.get("retcode") == 0)
    if good != targets:
        sys.exit(f"round {number}: {good} of {targets} succeeded: {answers}")
    print(f"{took:.6f}", flush=True)
