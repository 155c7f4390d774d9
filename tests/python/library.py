"""Every method of python-ironic-inspector-client's `ClientV1`, in every mode of logging in that the environment offers.

Usage: library.py [MODE...]       modes as in README.md; without one, all that are offered
"""

import json
import sys
import uuid

from ironic_inspector_client import ClientError, ClientV1, VersionNotSupported
from ironic_inspector_client.v1 import WaitTimeoutError

from checks import check, contains, equal, ok, prefixed, raises, run, skip
from target import REFERENCE, host, modes, more_hosts, offline_host, until

VERSIONS = ("1.0", "1.13")
STATUS_KEYS = {"uuid", "state", "finished", "started_at", "finished_at", "error", "links"}
INTERFACE_FIELDS = ["interface", "mac", "switch_port_vlan_ids", "switch_chassis_id", "switch_port_id", "switch_port_mtu"]
NEVER = [{"op": "eq", "field": "data://inventory.cpu.count", "value": -1}]
ALWAYS = [{"op": "gt", "field": "data://inventory.cpu.count", "value": 0}]
MARK = [{"action": "set-attribute", "path": "/extra/hostler_e2e", "value": "seen"}]


def connect(mode, version, suffix=None):
    """A client at the given path below the service, or at the endpoint of the catalogue where the mode has one."""
    address = mode.url + (suffix or "") if suffix is not None or not mode.identity else None
    return ClientV1(inspector_url=address, api_version=version, session=mode.session())


def introspect(client, name, **options):
    """Starts an introspection and waits for its end; returns the final status."""
    client.introspect(name, **options)
    return client.wait_for_finish([name], retry_interval=0.1, max_retries=600)[name]


def check_versions(mode):
    client = connect(mode, "1.0")
    equal(client.server_api_versions(), ((1, 0), (1, 18)), "the server supports 1.0 to 1.18")
    for good in (1, (1, 5), "1.18"):
        connect(mode, good)
        ok(f"version {good!r} is accepted")
    for bad in ("1.19", "2.0", (0, 9)):
        error = raises(VersionNotSupported, f"version {bad!r} is refused", connect, mode, bad)
        equal(tuple(error.supported_versions), ((1, 0), (1, 18)), f"the refusal of {bad!r} names the range")
    suffixes = ["", "/", "/v1"] + ([] if REFERENCE else ["/introspection", "/introspection/v1"])
    for suffix in suffixes:
        connect(mode, "1.13", suffix).list_statuses(limit=1)
        ok(f"the list answers with the client at {suffix or 'the root'!r}")


def check_without_session(mode):
    """The library's own sessions carry no credentials: enough for `none`, refused by everything else, and discovery is public in all."""
    client = ClientV1(inspector_url=mode.url, api_version="1.13")
    ok("discovery needs no credentials")
    if mode.name == "none":
        check(isinstance(client.list_statuses(), list), "the list needs no credentials")
    else:
        raises(ClientError, "the list without credentials is refused", client.list_statuses, status=401, text="Authentication required")
        raises(ClientError, "a start without credentials is refused", client.introspect, host(), status=401)
        raises(ClientError, "the rules without credentials are refused", client.rules.get_all, status=401)


def check_introspection(client):
    status = introspect(client, host())
    equal(status["error"], None, "an introspection ends without an error")
    equal(set(status), STATUS_KEYS, "a status has exactly the documented keys")
    equal((status["state"], status["finished"]), ("finished", True), "its state is finished")
    equal(str(uuid.UUID(status["uuid"])), status["uuid"], "its uuid is a canonical UUID")
    check(status["started_at"] < status["finished_at"] and "Z" not in status["started_at"], "its times are in order, without zone")
    contains(status["links"][0]["href"], f"/v1/introspection/{status['uuid']}", "its link points to itself")
    equal(client.get_status(status["uuid"]), status, "the status by UUID equals that by name")
    equal(client.get_status(node_id=host())["uuid"], status["uuid"], "the keyword node_id works")

    again = introspect(client, host(), manage_boot=False)
    equal(again["error"], None, "manage_boot=False starts")
    check(again["started_at"] > status["started_at"], "a second run has its own start")
    if REFERENCE:
        skip("manage_boot=True is refused", "the original here manages boot")
    else:
        raises(ClientError, "manage_boot=True is refused", client.introspect, host(), manage_boot=True, status=400, text="cannot manage boot")

    client.reprocess(host())
    third = until(lambda: reapplied(client, again), "the reapplied run")
    equal((third["state"], third["error"]), ("finished", None), "reprocess ends without an error")
    client.abort(host())
    equal(client.get_status(host()), third, "abort of a finished run changes nothing")
    return third


def reapplied(client, before):
    """The status, once a reapplication that began after `before` is over; `finished` alone stays true all through one, in the original."""
    status = client.get_status(host())
    return status if status["started_at"] > before["started_at"] and status["state"] in ("finished", "error") else None


def check_lists(client, status):
    for name in more_hosts():
        equal(introspect(client, name)["error"], None, f"{name} is introspected")
    everything = client.list_statuses()
    check(any(entry["uuid"] == status["uuid"] for entry in everything), "the list has the host")
    check(all(set(entry) == STATUS_KEYS for entry in everything), "every entry of the list is a whole status")
    keys = [(entry["started_at"], entry["uuid"]) for entry in everything]
    equal(keys, sorted(keys, reverse=True), "the list is ordered by start, newest first")
    paged, marker = [], None
    for _ in range(len(everything) + 1):
        page = client.list_statuses(limit=1, marker=marker)
        check(len(page) <= 1, "a page keeps to its limit")
        if not page:
            break
        paged += page
        marker = page[0]["uuid"]
    equal(paged, everything, "pages of one are the whole list")
    check(len(client.list_statuses(limit=1000)) == len(everything), "limit 1000 is accepted")


def check_data(client, status):
    data = client.get_data(host())
    for key in ("inventory", "all_interfaces", "interfaces", "macs", "cpus", "cpu_arch", "memory_mb", "local_gb", "ipmi_address", "error"):
        check(key in data, f"the processed document has {key}")
    equal(data["cpus"], data["inventory"]["cpu"]["count"], "cpus is the inventory's count")
    raw = client.get_data(host(), raw=True)
    check(isinstance(raw, bytes) and json.loads(raw) == data, "raw data are the same document in bytes")
    equal(client.get_data(node_id=status["uuid"]), data, "the document by UUID is the same")
    unprocessed = client.get_data(host(), processed=False)
    equal(unprocessed["inventory"], data["inventory"], "the unprocessed document has the same inventory")
    check("all_interfaces" not in unprocessed, "the unprocessed document has nothing that hooks add")
    check("logs" not in data and "logs" not in unprocessed, "no document has logs")

    table = client.get_all_interface_data(host(), INTERFACE_FIELDS)
    equal(sorted(row[0] for row in table), sorted(data["all_interfaces"]), "interface data lists all interfaces")
    for name, entry in data["all_interfaces"].items():
        row = client.get_interface_data(host(), name, INTERFACE_FIELDS)
        equal(list(row), INTERFACE_FIELDS, f"interface data of {name} has the fields asked for")
        equal((row["interface"], row["mac"]), (name, entry["mac"]), f"interface data of {name} are those of the document")
        neighbour = entry.get("lldp_processed", {})
        equal(row["switch_port_id"], neighbour.get("switch_port_id"), f"the switch port of {name} is that of the document")
    equal(client.get_all_interface_data(host(), ["interface"], vlan=[4095]), [], "no interface is in a VLAN that does not exist")
    raises(ValueError, "an unknown interface is refused by the library", client.get_interface_data, host(), "no-such-if", ["mac"])


def check_rules(client):
    rules = client.rules
    rules.delete_all()
    equal(rules.get_all(), [], "there are no rules after delete_all")
    first = rules.create(NEVER, MARK, description="never applies")
    equal((first["description"], first["scope"]), ("never applies", None), "create answers with the rule")
    equal(first["conditions"], [dict(NEVER[0], invert=False, multiple="any")], "conditions come back with their defaults")
    equal(first["actions"], MARK, "actions come back")
    named = str(uuid.uuid4())
    second = rules.create([], MARK, uuid=named)
    equal((second["uuid"], second["description"]), (named, None), "create takes a UUID")
    third = rules.from_json({"actions": MARK, "conditions": NEVER, "scope": "nowhere"})
    equal(third["scope"], "nowhere", "from_json takes a scope")
    listed = rules.get_all()
    equal([rule["uuid"] for rule in listed], [first["uuid"], named, third["uuid"]], "rules are listed in the order of creation")
    equal(set(listed[0]), {"uuid", "description", "scope", "links"}, "a listed rule is short")
    equal(rules.get(first["uuid"]), first, "get answers with what create answered")
    path = f"/v1/rules/{first['uuid']}"
    check(first["links"] in [[{"rel": "self", "href": mount + path}] for mount in ("", "/introspection")], "a rule's link is a path", first["links"])
    rules.delete(first["uuid"])
    raises(ClientError, "a deleted rule is gone", rules.get, first["uuid"], status=404, text=f"Rule {first['uuid']} was not found")
    raises(ClientError, "it cannot be deleted twice", rules.delete, first["uuid"], status=404, text="was not found")

    raises(ClientError, "a UUID is taken once", rules.create, [], MARK, uuid=named, status=409, text=f"Rule with UUID {named} already exists")
    raises(ClientError, "a UUID must be one", rules.create, [], MARK, uuid="x", status=400, text="Invalid UUID value")
    raises(ClientError, "a rule needs an action", rules.create, [], [], status=400, text="Validation failed for actions")
    unknown = [{"op": "almost", "field": "a", "value": 1}]
    raises(ClientError, "an operator must exist", rules.create, unknown, MARK, status=400, text="Validation failed for conditions")
    raises(ClientError, "an action must be complete", rules.create, [], [{"action": "fail"}], status=400, text="missing required parameter(s): message")
    network = [{"op": "in-net", "field": "a", "value": "zz"}]
    raises(ClientError, "a network must be one", rules.create, network, MARK, status=400, text="invalid")
    raises(ClientError, "a field's scheme must exist", rules.create, [{"op": "is-empty", "field": "ftp://a"}], MARK, status=400, text="Unsupported scheme")
    raises(TypeError, "conditions must be a list", rules.create, {}, MARK)
    raises(TypeError, "a rule's id must be text", rules.get, 1)

    rules.delete_all()
    rules.create(ALWAYS, [{"action": "fail", "message": "stopped by a rule"}])
    failed = introspect(client, host())
    equal((failed["state"], failed["finished"]), ("error", True), "a rule that fails ends the run in error")
    contains(failed["error"], "stopped by a rule", "the error is the rule's message")
    client.get_data(host())
    ok("the document was stored before the rules ran")
    rules.delete_all()
    equal(introspect(client, host())["error"], None, "without the rule the next run is good")


def check_errors(client):
    nobody, nobody_uuid = "no-such-host", str(uuid.uuid4())
    raises(ClientError, "an unknown name cannot start", client.introspect, nobody, status=404, text="was not found in Ironic")
    raises(ClientError, "an unknown UUID cannot start", client.introspect, nobody_uuid, status=404, text="was not found in Ironic")
    raises(ClientError, "an unknown name has no status", client.get_status, nobody, status=404, text="was not found in Ironic")
    raises(ClientError, "an unknown UUID has no status", client.get_status, nobody_uuid, status=404, text=f"Could not find node {nobody_uuid} in cache")
    raises(ClientError, "an unknown name cannot be aborted", client.abort, nobody, status=404)
    raises(ClientError, "an unknown UUID cannot be aborted", client.abort, nobody_uuid, status=404)
    raises(ClientError, "an unknown name has no data", client.get_data, nobody, status=404)
    absent = f"Introspection data not found for node {nobody_uuid}, processed="
    raises(ClientError, "an unknown UUID has no data", client.get_data, nobody_uuid, status=404, text=absent + "True")
    raises(ClientError, "nor unprocessed data", client.get_data, nobody_uuid, processed=False, status=404, text=absent + "False")
    raises(ClientError, "an unknown name cannot be reprocessed", client.reprocess, nobody, status=404)
    raises(ClientError, "a limit over 1000 is refused", client.list_statuses, limit=1001, status=400, text="Limit over 1000")
    raises(ClientError, "a negative limit is refused", client.list_statuses, limit=-1, status=400, text="Limit cannot be negative")
    raises(ClientError, "a marker must be a UUID", client.list_statuses, marker="x", status=400, text="Marker not UUID-like")
    raises(ClientError, "a marker must be known", client.list_statuses, marker=nobody_uuid, status=404, text="was not found")
    raises(TypeError, "a marker must be text", client.list_statuses, marker=1)
    raises(TypeError, "a limit must be a number", client.list_statuses, limit="1")
    raises(TypeError, "a host must be given", client.introspect)


def in_state(client, name, state):
    """The status of a host if it is in this state."""
    status = client.get_status(name)
    return status if status["state"] == state else None


def check_abort(client):
    absent = offline_host()
    if not absent:
        return skip("abort of a waiting run", "HOSTLER_OFFLINE_HOST is not set")
    client.introspect(absent)
    status = until(lambda: in_state(client, absent, "waiting"), "the host to be waited for")
    equal((status["finished"], status["finished_at"], status["error"]), (False, None, None), "a host that does not answer is waited for")
    raises(WaitTimeoutError, "waiting for it times out", client.wait_for_finish, [absent], retry_interval=0.05, max_retries=2)
    client.abort(absent)
    aborted = client.wait_for_finish([absent], retry_interval=0.1, max_retries=600)[absent]
    equal((aborted["state"], aborted["error"]), ("error", "Canceled by operator"), "abort ends it")


def check_client(client):
    status = check_introspection(client)
    check_lists(client, status)
    check_data(client, status)
    check_rules(client)
    check_errors(client)
    check_abort(client)


def program():
    for mode in modes(sys.argv[1:]):
        with prefixed(mode.name):
            check_versions(mode)
            check_without_session(mode)
        for version in VERSIONS:
            with prefixed(f"{mode.name} {version}"):
                check_client(connect(mode, version))


run(program)
