"""Compares a processed document of this machine, field by field, with what independent tools say about it.

Usage: crosscheck.py DOCUMENT.json      made on this machine, just now; standard library only

The tools: lscpu, lsblk, lsmem, ip, dmidecode where there are SMBIOS tables, uname, getconf, dpkg-query. Where no tool has an opinion (lsblk
without a udev database knows no serial, for example), the field is counted as such and no difference. Prints `ok FIELD` per field that
agrees; ends with a table of the differences and status 1 if there are any.
"""

import glob
import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys

GIB, MIB, KIB = 1 << 30, 1 << 20, 1 << 10
SMALLEST_ROOT_DISK = 4 * GIB
# Block devices that no host's inventory of disks has: not local, not real, or without media (spec, tables of 4.2 and 4.4).
NO_DISK = re.compile(r"^(fd|ram|zram|rbd|nbd|zd|drbd|loop|sr)\d")
UNKNOWN_DMI = {"not specified", "to be filled by o.e.m.", "default string", "0123456789"}


class Comparison:
    """Collects what agrees, what differs and what only one side knows."""

    def __init__(self):
        self.agreed, self.unopposed, self.differences = 0, [], []

    def field(self, name, ours, theirs, tool):
        """`ours` must equal what the tool says."""
        if ours == theirs:
            self.agreed += 1
            print(f"ok {name} ({tool})")
        else:
            if isinstance(ours, list) and isinstance(theirs, list):
                ours, theirs = [item for item in ours if item not in theirs], [item for item in theirs if item not in ours]
                name += " (only here | only there)"
            self.differences.append((name, brief(ours), brief(theirs), tool))

    def if_known(self, name, ours, theirs, tool):
        """As `field`, unless the tool does not know."""
        if theirs in (None, "", "-", []):
            self.unopposed.append(name)
        else:
            self.field(name, ours, theirs, tool)

    def holds(self, name, truth, ours, wanted, tool):
        """A condition that is not plain equality; `wanted` says it in words."""
        self.field(name, ours if not truth else True, True if truth else wanted, tool)

    def finish(self):
        """Prints the outcome and ends the program."""
        print(f"{self.agreed} fields agree, {len(self.differences)} differ, {len(self.unopposed)} without a second opinion")
        if self.unopposed:
            print("without a second opinion: " + ", ".join(self.unopposed))
        if self.differences:
            table = [("FIELD", "DOCUMENT", "TOOL SAYS", "TOOL"), *self.differences]
            widths = [max(len(row[column]) for row in table) for column in range(4)]
            for row in table:
                print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip(), file=sys.stderr)
        sys.exit(1 if self.differences else 0)


def brief(value):
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."


def output(*command):
    """Standard output of a tool, or None if it is not there or fails."""
    if not shutil.which(command[0]):
        return None
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, check=False)
    return done.stdout if done.returncode == 0 else None


def read(path):
    """A file's text without its last newline, or None."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().rstrip("\n")
    except OSError:
        return None


def lscpu_fields(entries):
    """lscpu's tree as one flat table."""
    table = {}
    for entry in entries:
        table[entry["field"].rstrip(":")] = entry.get("data")
        table.update(lscpu_fields(entry.get("children", [])))
    return table


def count_cpus(text):
    """How many CPUs a list such as `0-3,8` names."""
    bounds = [part.split("-") for part in text.split(",")]
    return sum(int(pair[-1]) - int(pair[0]) + 1 for pair in bounds)


def check_cpu(compare, document):
    cpu, table = document["inventory"]["cpu"], lscpu_fields(json.loads(output("lscpu", "-J"))["lscpu"])
    compare.field("cpu.count", cpu["count"], count_cpus(table["On-line CPU(s) list"]), "lscpu")
    compare.field("cpu.count", cpu["count"], int(output("getconf", "_NPROCESSORS_ONLN")), "getconf")
    if len(os.sched_getaffinity(0)) == int(output("getconf", "_NPROCESSORS_ONLN")):
        compare.field("cpu.count", cpu["count"], int(output("env", "-u", "OMP_NUM_THREADS", "-u", "OMP_THREAD_LIMIT", "nproc")), "nproc")
    compare.field("cpu.architecture", cpu["architecture"], table["Architecture"], "lscpu")
    compare.field("cpu.architecture", cpu["architecture"], output("uname", "-m").strip(), "uname")
    compare.if_known("cpu.model_name", cpu["model_name"], table.get("Model name"), "lscpu")
    compare.if_known("cpu.flags", sorted(cpu["flags"]), sorted((table.get("Flags") or "").split()), "lscpu")
    sockets = table.get("Socket(s)")
    compare.if_known("cpu.socket_count", cpu["socket_count"], int(sockets) if sockets and sockets.isdigit() else None, "lscpu")
    check_frequency(compare, cpu["frequency"], table.get("CPU max MHz"))
    compare.field("cpus", document["cpus"], cpu["count"], "inventory")
    compare.field("cpu_arch", document["cpu_arch"], cpu["architecture"], "inventory")


def check_frequency(compare, ours, maximum):
    """The maximum where there is one; else the current frequency, which has moved since; else the empty string."""
    current = [float(value) for value in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", read("/proc/cpuinfo") or "", re.M)]
    if maximum:
        compare.field("cpu.frequency", ours, f"{float(maximum):.4f}", "lscpu")
    elif current:
        near = isinstance(ours, str) and ours and min(current) / 2 <= float(ours) <= max(current) * 2
        compare.holds("cpu.frequency", near, ours, f"text near {max(current)} MHz", "/proc/cpuinfo")
    else:
        compare.field("cpu.frequency", ours, "", "/proc/cpuinfo")


def dmi(*options):
    """dmidecode's answer, or None where there are no tables or no permission."""
    text = output("dmidecode", "-q", *options)
    return text if text and "No SMBIOS" not in text else None


def dmi_memory_mib():
    """The sum of the memory modules, or None."""
    text = dmi("-t", "17")
    sizes = re.findall(r"^\s*Size: (\d+) ([kMGT]B)$", text, re.M) if text else []
    units = {"kB": 1 / KIB, "MB": 1, "GB": KIB, "TB": MIB}
    return math.floor(sum(int(size) * units[unit] for size, unit in sizes)) or None if sizes else None


def check_memory(compare, document):
    memory = document["inventory"]["memory"]
    total = int(re.search(r"^MemTotal:\s*(\d+) kB", read("/proc/meminfo"), re.M)[1]) * KIB
    compare.field("memory.total", memory["total"], total, "/proc/meminfo")
    free = output("free", "-b")
    if free:
        compare.field("memory.total", memory["total"], int(free.splitlines()[1].split()[1]), "free")
    modules, blocks = dmi_memory_mib(), output("lsmem", "-J", "-b")
    if modules is not None:
        compare.field("memory.physical_mb", memory["physical_mb"], modules, "dmidecode")
    elif blocks:
        online = sum(int(block["size"]) for block in json.loads(blocks)["memory"] if block["state"] == "online")
        compare.field("memory.physical_mb", memory["physical_mb"], online // MIB, "lsmem")
    else:
        compare.field("memory.physical_mb", memory["physical_mb"], None, "no table and no blocks")
    if memory["physical_mb"]:
        compare.field("memory_mb", document["memory_mb"], memory["physical_mb"], "inventory")


def flatten(devices):
    for device in devices:
        yield device
        yield from flatten(device.get("children", []))


def lsblk_disks():
    """What must be listed: by kernel name, whole disks, arrays and multipath maps that have a size, without the maps' paths."""
    columns = "KNAME,TYPE,SIZE,ROTA,MODEL,SERIAL,WWN,LOG-SEC,PHY-SEC,TRAN,VENDOR,HCTL"
    found = {}
    for device in flatten(json.loads(output("lsblk", "-J", "-b", "-a", "-o", columns, "--tree"))["blockdevices"]):
        is_path = any(child["type"] == "mpath" for child in device.get("children", []))
        wanted = device["type"] in ("disk", "mpath") or device["type"].startswith("raid")
        if wanted and device["size"] and not NO_DISK.match(device["kname"]) and not is_path:
            found[device["kname"]] = device
    return found


def by_path(kname):
    links = [link for link in glob.glob("/dev/disk/by-path/*") if os.path.realpath(link) == f"/dev/{kname}"]
    return links or None


def check_disks(compare, document):
    ours = {disk["name"]: disk for disk in document["inventory"]["disks"]}
    theirs = lsblk_disks()
    compare.field("disks[].name", sorted(ours), sorted(f"/dev/{name}" for name in theirs), "lsblk")
    for kname, device in theirs.items():
        disk = ours.get(f"/dev/{kname}")
        if disk is None:
            continue
        compare.field(f"disks.{kname}.size", disk["size"], int(device["size"]), "lsblk")
        compare.field(f"disks.{kname}.rotational", disk["rotational"], device["rota"] in (True, "1"), "lsblk")
        compare.field(f"disks.{kname}.logical_sectors", disk["logical_sectors"], int(device["log-sec"]), "lsblk")
        compare.field(f"disks.{kname}.physical_sectors", disk["physical_sectors"], int(device["phy-sec"]), "lsblk")
        for key in ("model", "serial", "wwn", "tran", "vendor", "hctl"):
            compare.if_known(f"disks.{kname}.{key}", disk[key], device[key].strip() if device[key] else None, "lsblk")
        links = by_path(kname)
        compare.holds(f"disks.{kname}.by_path", disk["by_path"] in (links or [None]), disk["by_path"], f"one of {links}", "/dev/disk")
    check_root_disk(compare, document)


def check_root_disk(compare, document):
    """The smallest disk that is large enough, by name among equals; its size less the spacing is `local_gb`."""
    fit = sorted((disk["size"], disk["name"]) for disk in document["inventory"]["disks"] if disk["size"] >= SMALLEST_ROOT_DISK)
    root = document.get("root_disk")
    compare.field("root_disk.name", root["name"] if root else None, fit[0][1] if fit else None, "inventory")
    compare.field("local_gb", document["local_gb"], fit[0][0] // GIB - 1 if fit else 0, "inventory")


def ip_links():
    """Every interface that `ip` sees, by name, with its addresses."""
    links = {link["ifname"]: link for link in json.loads(output("ip", "-j", "-d", "link"))}
    for entry in json.loads(output("ip", "-j", "addr")):
        links[entry["ifname"]]["addresses"] = entry["addr_info"]
    return links


def is_listed(name, link):
    """Whether the inventory has this interface: hardware, VLANs and bonds."""
    kind = link.get("linkinfo", {}).get("info_kind")
    return os.path.exists(f"/sys/class/net/{name}/device") or kind in ("vlan", "bond")


def first_address(link, family):
    """The first global address of a family; for IPv6 otherwise the first link-local one."""
    wanted = ("global", "link") if family == "inet6" else ("global",)
    found = [a["local"] for scope in wanted for a in link["addresses"] if a["family"] == family and a["scope"] == scope]
    return found[0] if found else None


def check_interfaces(compare, document):
    ours = {interface["name"]: interface for interface in document["inventory"]["interfaces"]}
    links = ip_links()
    theirs = {name: link for name, link in links.items() if is_listed(name, link)}
    compare.field("interfaces[].name", sorted(ours), sorted(theirs), "ip link")
    for name, link in theirs.items():
        interface = ours.get(name)
        if interface is None:
            continue
        compare.field(f"interfaces.{name}.mac_address", interface["mac_address"], link.get("permaddr") or link["address"], "ip link")
        compare.field(f"interfaces.{name}.ipv4_address", interface["ipv4_address"], first_address(link, "inet"), "ip addr")
        compare.field(f"interfaces.{name}.ipv6_address", interface["ipv6_address"], first_address(link, "inet6"), "ip addr")
        compare.field(f"interfaces.{name}.has_carrier", interface["has_carrier"], "LOWER_UP" in link["flags"], "ip link")
        device = f"/sys/class/net/{name}/device"
        compare.if_known(f"interfaces.{name}.driver", interface["driver"], link_name(f"{device}/driver"), "sysfs")
        compare.field(f"interfaces.{name}.vendor", interface["vendor"], read(f"{device}/vendor"), "sysfs")
        compare.field(f"interfaces.{name}.product", interface["product"], read(f"{device}/device"), "sysfs")
        check_pci_address(compare, name, interface["pci_address"], link)
        check_processed_interface(compare, document, name, interface)
    extended = {link["name"] for link in document["fleet"]["net"]["links"]}
    compare.field("fleet.net.links[].name", sorted(extended), sorted(links), "ip link")
    shown = [str(leaf).split("/")[0] for leaf in leaves(document["fleet"]["net"])]
    absent = [a["local"] for link in links.values() for a in link["addresses"] if a["local"] not in shown]
    compare.field("fleet.net addresses that are missing", absent, [], "ip addr")


def link_name(path):
    return os.path.basename(os.readlink(path)) if os.path.islink(path) else None


def check_pci_address(compare, name, ours, link):
    """`ip` tells the parent device; behind a virtio device its PCI ancestor counts, where it has one."""
    path = os.path.realpath(f"/sys/class/net/{name}/device")
    ancestors = re.findall(r"[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", path)
    compare.if_known(f"interfaces.{name}.pci_address", ours, ancestors[-1] if ancestors else link.get("parentdev"), "ip link")


def check_processed_interface(compare, document, name, interface):
    entry = document["all_interfaces"].get(name, {})
    compare.field(f"all_interfaces.{name}.mac", entry.get("mac"), interface["mac_address"], "inventory")
    address = interface["ipv4_address"] or interface["ipv6_address"]
    compare.field(f"all_interfaces.{name}.ip", entry.get("ip"), address, "inventory")


def check_machine(compare, document):
    inventory = document["inventory"]
    hostnames = {socket.gethostname(), socket.getfqdn(), (output("hostname", "-f") or "").strip(), os.environ.get("HOSTLER_HOST")}
    compare.holds("hostname", inventory["hostname"] in hostnames, inventory["hostname"], f"one of {sorted(filter(None, hostnames))}", "hostname")
    mode = "uefi" if os.path.exists("/sys/firmware/efi") else "bios"
    compare.field("boot.current_boot_mode", inventory["boot"]["current_boot_mode"], mode, "sysfs")
    if not glob.glob("/dev/ipmi*"):
        compare.field("bmc_address", inventory["bmc_address"], None, "/dev")
        compare.field("ipmi_address", document["ipmi_address"], None, "/dev")
    vendor = inventory["system_vendor"]
    keywords = {
        "manufacturer": "system-manufacturer", "product_name": "system-product-name", "serial_number": "system-serial-number",
        "firmware.vendor": "bios-vendor", "firmware.version": "bios-version", "firmware.build_date": "bios-release-date",
    }
    for key, keyword in keywords.items():
        ours = vendor["firmware"][key.split(".")[1]] if "." in key else vendor[key]
        told = (output("dmidecode", "-s", keyword) or "").strip()
        told = "" if told.lower() in UNKNOWN_DMI or told.startswith("#") else told
        if told or dmi("-t", "1"):
            compare.field(f"system_vendor.{key}", ours, told, "dmidecode")
        elif not os.path.exists("/sys/class/dmi/id") and not os.path.exists("/proc/device-tree/model"):
            compare.field(f"system_vendor.{key}", ours, "", "no SMBIOS tables")


def leaves(value):
    """Every value within, whatever it is called."""
    if isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        yield len(value)
        for inner in value:
            yield from leaves(inner)
    else:
        yield value


def check_software(compare, document):
    """What the extended part must tell about the system that runs, by value: the names of its keys are its own."""
    found = list(leaves(document["fleet"]["os"]))
    release = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', read("/etc/os-release") or "", re.M))
    wanted = {
        "boot id": (read("/proc/sys/kernel/random/boot_id"), "/proc"),
        "kernel release": (output("uname", "-r").strip(), "uname"),
        "distribution": (release.get("ID"), "/etc/os-release"),
        "version": (release.get("VERSION_ID"), "/etc/os-release"),
        "machine id": (read("/etc/machine-id"), "/etc/machine-id"),
    }
    for name, (value, tool) in wanted.items():
        if value:
            compare.holds(f"fleet.os: {name}", value in found, "not there", value, tool)
    status = output("dpkg-query", "-W", "-f", "${db:Status-Status}\n")
    if status:
        count = status.split("\n").count("installed")
        numbers = [leaf for leaf in leaves(document["fleet"]["packages"]) if isinstance(leaf, int)]
        compare.holds("fleet.packages: count", count in numbers, f"numbers there: {numbers[:8]}", count, "dpkg-query")


def check_sections(compare, document):
    """Each section says how it went; one that failed says why."""
    for name, section in document["fleet"]["sections"].items():
        good = section["status"] == "ok" or (section["status"] in ("partial", "unavailable", "timeout") and section["reason"])
        compare.holds(f"fleet.sections.{name}", good, section, "ok, or a reason", "spec")


def program():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        document = json.load(file)
    compare = Comparison()
    for check in (check_cpu, check_memory, check_disks, check_interfaces, check_machine, check_software, check_sections):
        try:
            check(compare, document)
        except (KeyError, TypeError, ValueError, IndexError) as problem:
            compare.differences.append((check.__name__, f"{type(problem).__name__}: {problem}", "a document of the specified form", "spec"))
    compare.finish()


program()
