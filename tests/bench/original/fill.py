"""Replaces the contents of the original's database by N finished introspections with their documents.

Usage: fill.py DATABASE-URL [N]        (run it with the Python of the virtual environment that `setup` made)

The rows are written with the service's own table definitions, so they are what it would have written itself. Names, addresses and
times differ from row to row, the shape of the documents does not. The UUIDs are the same in every run.
"""

import datetime
import json
import sys
import uuid

import sqlalchemy
from ironic_inspector.db import model

FIRST_START = datetime.datetime(2026, 1, 1, 0, 0, 0)
ROWS_PER_INSERT = 500


def inventory(number):
    """What a small server's ramdisk posts, the parts that make up most of the size."""
    disks = [
        {
            "name": f"/dev/sd{letter}", "model": "EXAMPLE 4T", "size": 4000787030016, "rotational": True,
            "wwn": f"0x5000c500{number:08x}", "serial": f"S{number:06d}{letter}", "vendor": "EXAMPLE",
            "wwn_with_extension": None, "wwn_vendor_extension": None, "hctl": "0:0:0:0", "by_path": None,
        }
        for letter in "abcdefghijkl"
    ]
    interfaces = [
        {
            "name": f"ens{port}", "mac_address": f"52:54:{port:02x}:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
            "ipv4_address": f"10.{number >> 8 & 255}.{number & 255}.{port + 1}", "ipv6_address": None, "has_carrier": True,
            "lldp": None, "vendor": "0x8086", "product": "0x1572", "client_id": None, "biosdevname": None, "speed_mbps": 25000,
        }
        for port in range(4)
    ]
    return {
        "cpu": {"model_name": "Example CPU", "frequency": "3500.0000", "count": 64, "architecture": "x86_64", "flags": [f"flag{i}" for i in range(90)]},
        "memory": {"total": 270011011072, "physical_mb": 262144},
        "disks": disks, "interfaces": interfaces, "bmc_address": "192.0.2.10", "hostname": f"host-{number:05d}",
        "system_vendor": {"product_name": "S2U", "serial_number": f"A{number:06d}", "manufacturer": "Acme"},
        "boot": {"current_boot_mode": "uefi", "pxe_interface": None},
    }


def rows(count):
    """Yields (node row, [data rows]) in the order in which the introspections started."""
    for number in range(count):
        node = str(uuid.uuid5(uuid.NAMESPACE_URL, f"introspection-{number}"))
        started = FIRST_START + datetime.timedelta(seconds=number, microseconds=number % 1000 * 997)
        document = json.dumps({"inventory": inventory(number), "error": None})
        yield (
            {"uuid": node, "version_id": "", "state": "finished", "started_at": started,
             "finished_at": started + datetime.timedelta(seconds=4), "error": None, "manage_boot": False},
            [{"uuid": node, "processed": processed, "data": json.loads(document)} for processed in (True, False)],
        )


def main():
    url, count = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10000
    engine = sqlalchemy.create_engine(url)
    tables = model.Base.metadata.tables
    with engine.begin() as connection:
        for table in reversed(model.Base.metadata.sorted_tables):
            connection.execute(table.delete())
        nodes, documents = [], []
        for number, (node, data) in enumerate(rows(count), 1):
            nodes.append(node)
            documents.extend(data)
            if number % ROWS_PER_INSERT == 0 or number == count:
                connection.execute(tables["nodes"].insert(), nodes)
                connection.execute(tables["introspection_data"].insert(), documents)
                nodes, documents = [], []
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sqlalchemy.text("ANALYZE"))
    print(f"{count} finished introspections in {engine.url.render_as_string(hide_password=True)}")


main()
