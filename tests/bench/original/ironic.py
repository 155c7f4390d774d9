"""As much of the Ironic API as the original ironic-inspector calls for an introspection, plus the ramdisk's part of it.

Usage: ironic.py PORT INSPECTOR-URL          (standard library only; loopback)

Nodes: host-01, host-02, host-03, whose "ramdisk" answers a third of a second after the introspection waits for it, and offline-01, whose
ramdisk never answers. Each has one port by whose address the original recognises it.
"""

import json
import re
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAMES = ["host-01", "host-02", "host-03", "offline-01"]
POLL_SECONDS = 0.3


def make_node(number, name):
    return {
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, name)), "name": name, "driver": "fake-hardware", "provision_state": "manageable",
        "power_state": "power on", "maintenance": False, "driver_info": {}, "properties": {}, "extra": {}, "traits": [],
        "instance_info": {}, "resource_class": None, "mac": f"52:54:00:00:00:{number:02x}",
    }


NODES = {node["uuid"]: node for node in (make_node(number, name) for number, name in enumerate(NAMES, 1))}


def document(node):
    """What the ramdisk of one node reports: two interfaces, one with a neighbour that speaks LLDP, and one disk."""
    lldp = [[1, "04112233aabbcc"], [2, "0545746865726e6574312f31"], [127, "0080c20300640476313030"]]
    interface = {"ipv6_address": None, "has_carrier": True, "vendor": "0x8086", "product": "0x1572", "client_id": None, "biosdevname": None}
    return {
        "inventory": {
            "cpu": {"count": 4, "architecture": "x86_64", "model_name": "Example", "frequency": "2000.0", "flags": ["vmx", "aes"]},
            "memory": {"total": 8 << 30, "physical_mb": 8192},
            "disks": [{"name": "/dev/sda", "model": "X", "size": 100 << 30, "rotational": False, "wwn": None, "serial": "S1", "vendor": None}],
            "interfaces": [
                {"name": "eth0", "mac_address": node["mac"], "ipv4_address": "192.0.2.10", "lldp": lldp, **interface},
                {"name": "eth1", "mac_address": "52:54:01" + node["mac"][8:], "ipv4_address": None, "lldp": [], **interface},
            ],
            "bmc_address": "", "bmc_v6address": "", "hostname": node["name"], "boot": {"current_boot_mode": "bios", "pxe_interface": node["mac"]},
            "system_vendor": {"product_name": "P", "serial_number": "1", "manufacturer": "M"},
        },
        "root_disk": {"name": "/dev/sda", "size": 100 << 30}, "boot_interface": node["mac"], "error": None,
    }


def port(node):
    return {"uuid": str(uuid.uuid5(uuid.NAMESPACE_DNS, node["mac"])), "node_uuid": node["uuid"], "address": node["mac"], "pxe_enabled": True, "extra": {}}


def apply_patch(node, operations):
    for operation in operations:
        *parents, last = operation["path"].strip("/").split("/")
        target = node
        for key in parents:
            target = target.setdefault(key, {})
        if operation["op"] == "remove":
            target.pop(last, None)
        else:
            target[last] = operation["value"]


class Api(BaseHTTPRequestHandler):
    """One route a method; whatever is not named answers 204, as actions of Ironic do."""

    def log_message(self, *_):
        pass

    def answer(self, status, body=None):
        payload = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("X-OpenStack-Ironic-API-Minimum-Version", "1.1")
        self.send_header("X-OpenStack-Ironic-API-Maximum-Version", "1.90")
        self.send_header("X-OpenStack-Ironic-API-Version", self.headers.get("X-OpenStack-Ironic-API-Version", "1.90"))
        self.end_headers()
        self.wfile.write(payload)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")

    def node(self):
        match = re.match(r"/v1/nodes/([^/?]+)", self.path)
        return match and next((n for n in NODES.values() if match[1] in (n["uuid"], n["name"])), None)

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path in ("/", "/v1", "/v1/"):
            here = f"http://{self.headers['Host']}/v1/"
            version = {"id": "v1", "status": "CURRENT", "min_version": "1.1", "version": "1.90", "links": [{"rel": "self", "href": here}]}
            return self.answer(200, {"default_version": version, "versions": [version], "id": "v1", "version": version})
        if path.startswith("/v1/ports"):
            return self.answer(200, {"ports": [port(n) for n in NODES.values() if n["mac"] in query or n["uuid"] in query]})
        if path in ("/v1/nodes", "/v1/nodes/detail"):
            return self.answer(200, {"nodes": list(NODES.values())})
        node = self.node()
        if node is None:
            return self.answer(404, {"error_message": json.dumps({"faultstring": f"Node {path.split('/')[3]} could not be found."})})
        if path.endswith("/validate"):
            return self.answer(200, {name: {"result": True} for name in ("power", "management", "boot", "deploy", "inspect")})
        return self.answer(200, node)

    def do_PATCH(self):
        node = self.node()
        if node is not None:
            apply_patch(node, self.body())
            return self.answer(200, node)
        return self.answer(200, {})

    def do_POST(self):
        self.answer(201, self.body())

    def do_PUT(self):
        self.body()
        self.answer(202 if "/states/" in self.path else 204)

    def do_DELETE(self):
        self.answer(204)


def be_the_ramdisks(inspector):
    """Posts the document of every node that waits, except of those that are switched off."""
    while True:
        time.sleep(POLL_SECONDS)
        try:
            with urllib.request.urlopen(f"{inspector}/v1/introspection?state=waiting", timeout=5) as answer:
                waiting = json.load(answer)["introspection"]
            for status in waiting:
                node = NODES[status["uuid"]]
                if not node["name"].startswith("offline"):
                    post = urllib.request.Request(f"{inspector}/v1/continue", json.dumps(document(node)).encode(), {"Content-Type": "application/json"})
                    urllib.request.urlopen(post, timeout=10).close()
        except (urllib.error.URLError, OSError) as problem:
            print(problem, file=sys.stderr)


def main():
    port_number, inspector = int(sys.argv[1]), sys.argv[2].rstrip("/")
    threading.Thread(target=be_the_ramdisks, args=(inspector,), daemon=True).start()
    ThreadingHTTPServer(("127.0.0.1", port_number), Api).serve_forever()


if __name__ == "__main__":
    main()
