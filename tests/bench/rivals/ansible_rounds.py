"""Runs the script on all targets as tasks of one playbook; prints the seconds between the ends of two tasks.

Usage: ansible_rounds.py INVENTORY SCRIPT TARGETS ROUNDS     in a virtual environment with Ansible
"""

import subprocess
import sys
import tempfile
import time

inventory, script, targets, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
# The first task pays for the start of the playbook: it is no round.
tasks = "".join(f"    - name: round {number}\n      ansible.builtin.script: {script}\n" for number in range(rounds + 1))

with tempfile.NamedTemporaryFile("w", suffix=".yml") as playbook:
    playbook.write(f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}")
    playbook.flush()
    command = [sys.prefix + "/bin/ansible-playbook", "-i", inventory, "-c", "local", "-f", str(targets), playbook.name]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    changed, last = 0, None
    for line in process.stdout:
        if not line.startswith("changed: ["):
            continue
        changed += 1
        if changed % targets == 0:
            now = time.monotonic()
            if last is not None:
                print(f"{now - last:.6f}", flush=True)
            last = now
    if process.wait() != 0 or changed != targets * (rounds + 1):
        sys.exit(f"{changed} of {targets * (rounds + 1)} succeeded")
