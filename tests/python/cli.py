"""Every `openstack baremetal introspection` command line of the stock plug-in, in every mode of logging in that the environment offers.

Usage: cli.py [MODE...]       modes as in README.md; without one, all that are offered
"""

import json
import os
import sys
import uuid
from pathlib import Path

import yaml

from checks import check, contains, equal, prefixed, run, skip
from osc import HOME, Osc, fails, rows, succeeded, succeeds
from target import REFERENCE, basic_login, domain, host, modes, more_hosts, need, offline_host, project, until

STATUS_ROWS = {"uuid", "state", "finished", "started_at", "finished_at", "error"}
LIST_COLUMNS = {"UUID", "Started at", "Finished at", "Error"}
INTERFACE_COLUMNS = ["Interface", "MAC Address", "Switch Port VLAN IDs", "Switch Chassis ID", "Switch Port ID"]
INTERFACE_FIELDS = 27
NEVER = [{"op": "eq", "field": "data://inventory.cpu.count", "value": -1}]
MARK = [{"action": "set-attribute", "path": "/extra/hostler_e2e", "value": "seen"}]
FAILING = {"description": "fails", "conditions": [], "actions": [{"action": "fail", "message": "stopped by a rule"}]}
INTROSPECTION = ("baremetal", "introspection")


def login(mode):
    """The command with what this mode puts in front of every sub-command."""
    # The client takes the only cloud of a clouds.yaml without being asked: what an earlier mode left must not count here.
    Path(HOME, ".config", "openstack", "clouds.yaml").unlink(missing_ok=True)
    plain, identity = Osc(), ("--os-auth-url", f"{mode.url}/identity/v3")
    if mode.name == "password":
        return plain.using("--os-cloud", write_cloud(mode))
    if mode.name == "appcred":
        options = ("--os-application-credential-id", need("HOSTLER_CRED_ID"), "--os-application-credential-secret", need("HOSTLER_CRED_SECRET"))
        return plain.using("--os-auth-type", "v3applicationcredential", *identity, *options)
    if mode.name == "v3token":
        scope = ("--os-project-name", project(), "--os-project-domain-name", domain())
        return plain.using("--os-auth-type", "v3token", *identity, "--os-token", mode.session().get_token(), *scope)
    if mode.name == "token":
        return plain.using("--os-auth-type", "admin_token", "--os-endpoint", mode.url, "--os-token", need("HOSTLER_TOKEN"))
    if mode.name == "basic":
        user, password = basic_login()
        return plain.using("--os-auth-type", "http_basic", "--os-endpoint", mode.url, "--os-username", user, "--os-password", password)
    return plain.using("--os-auth-type", "none", "--os-endpoint", mode.url)


def write_cloud(mode):
    """Puts a clouds.yaml for password login into the home folder, Hostler's own if the environment names one; returns the cloud's name."""
    own = os.environ.get("HOSTLER_CLOUDS_YAML")
    folder = Path(HOME, ".config", "openstack")
    folder.mkdir(parents=True, exist_ok=True)
    if own:
        text = Path(own).read_text()
        folder.joinpath("clouds.yaml").write_text(text)
        return os.environ.get("HOSTLER_CLOUD") or next(iter(yaml.safe_load(text)["clouds"]))
    auth = {
        "auth_url": f"{mode.url}/identity/v3", "username": need("HOSTLER_USERNAME"), "password": need("HOSTLER_PASSWORD"),
        "user_domain_name": domain(), "project_name": project(), "project_domain_name": domain(),
    }
    folder.joinpath("clouds.yaml").write_text(yaml.safe_dump({"clouds": {"fleet": {"auth": auth}}}))
    return "fleet"


def check_login(mode, osc):
    """The other spellings of the same login, and the ways it goes wrong."""
    command = (*INTROSPECTION, "list")
    if mode.name == "none":
        succeeds(Osc((), {"OS_AUTH_TYPE": "none", "OS_ENDPOINT": mode.url}), *command)
        Path(HOME, "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"open": {"auth_type": "none", "auth": {"endpoint": mode.url}}}}))
        succeeds(Osc(("--os-cloud", "open")), *command)
        Path(HOME, "clouds.yaml").unlink()
        alone = Osc(("--inspector-url", mode.url))
        fails(alone, "--inspector-url alone", *command, text="Missing value auth-url required for auth plugin password")
        succeeds(Osc(("--os-auth-type", "none", "--os-endpoint", "http://127.0.0.1:1", "--inspector-url", f"{mode.url}/v1")), *command)
    elif mode.name == "password":
        settings = {
            "OS_AUTH_URL": f"{mode.url}/identity/v3", "OS_USERNAME": need("HOSTLER_USERNAME"), "OS_PASSWORD": need("HOSTLER_PASSWORD"),
            "OS_PROJECT_NAME": project(), "OS_USER_DOMAIN_NAME": domain(), "OS_PROJECT_DOMAIN_NAME": domain(), "OS_IDENTITY_API_VERSION": "3",
        }
        succeeds(Osc((), settings), *command)
        succeeds(Osc((), {**settings, "INSPECTOR_URL": mode.url}), *command)
        fails(Osc((), {**settings, "OS_PASSWORD": "wrong"}), "a wrong password", *command, text="HTTP 401")
    elif mode.name == "token":
        fails(osc.using("--os-token", "wrong"), "a wrong token", *command, text="Authentication required")
    elif mode.name == "basic":
        fails(osc.using("--os-password", "wrong"), "a wrong password", *command, text="Authentication required")
    for version in ("1", "1.0", "1.6", "1.13", "1.18"):
        succeeds(osc.using("--inspector-api-version", version), *command)
    succeeds(osc.using(INSPECTOR_VERSION="1.13"), *command)
    fails(osc.using("--inspector-api-version", "1.19"), "a version that is not supported", *command, text="supported range is")


def check_rules(osc):
    rule = (*INTROSPECTION, "rule")
    succeeds(osc, *rule, "purge")
    equal(rows(osc, *rule, "list"), [], "no rule is left after a purge")
    named, other = str(uuid.uuid4()), str(uuid.uuid4())
    rules = [{"uuid": named, "description": "one", "conditions": NEVER, "actions": MARK}, {"conditions": NEVER, "actions": MARK}]
    Path(HOME, "rules.yaml").write_text(yaml.safe_dump(rules))
    Path(HOME, "rule.json").write_text(json.dumps({"uuid": other, "description": "from JSON", "actions": MARK}))
    imported = rows(osc, *rule, "import", "rules.yaml")
    equal([entry["Description"] for entry in imported], ["one", None], "the YAML file's rules are imported")
    equal([entry["UUID"] for entry in rows(osc, *rule, "import", "rule.json")], [other], "the JSON file's rule is imported")
    listed = [entry["UUID"] for entry in rows(osc, *rule, "list")]
    equal((listed[0], listed[2], len(listed)), (named, other, 3), "all three are listed in their order")
    shown = rows(osc, *rule, "show", named)
    equal((shown["uuid"], shown["description"], shown["actions"]), (named, "one", MARK), "a rule is shown")
    check("links" not in shown and "conditions" in shown, "without its links")
    fails(osc, "a rule that exists", *rule, "import", "rule.json", text=f"Rule with UUID {other} already exists")
    Path(HOME, "bad.json").write_text(json.dumps({"actions": [{"action": "no-such-action"}]}))
    fails(osc, "a rule that is none", *rule, "import", "bad.json", text="Validation failed for actions")
    succeeds(osc, *rule, "delete", named)
    fails(osc, "a rule that is gone", *rule, "show", named, text=f"Rule {named} was not found")
    fails(osc, "a rule that is gone", *rule, "delete", named, text=f"Rule {named} was not found")
    succeeds(osc, *rule, "purge")
    equal(rows(osc, *rule, "list"), [], "the purge took the others")


def check_status(osc):
    """Returns the host's UUID."""
    status = rows(osc, *INTROSPECTION, "status", host())
    equal(set(status), STATUS_ROWS, "a status has all rows")
    equal((status["state"], status["finished"], status["error"]), ("finished", True, None), "the run is finished")
    equal(succeeds(osc, *INTROSPECTION, "status", status["uuid"], "-f", "value", "-c", "uuid").out.strip(), status["uuid"], "a UUID names it as well")
    fails(osc, "an unknown host", *INTROSPECTION, "status", "no-such-host", text="was not found in Ironic")
    return status["uuid"]


def check_list(osc, identifier):
    others = more_hosts()
    if others:
        succeeds(osc, *INTROSPECTION, "start", *others)
        for name in others:
            settled(osc, name, "finished")
    everything = rows(osc, *INTROSPECTION, "list")
    equal(set(everything[0]), LIST_COLUMNS, "the list has its columns")
    identifiers = [entry["UUID"] for entry in everything]
    check(identifier in identifiers, "the list has the host")
    equal(len(rows(osc, *INTROSPECTION, "list", "--limit", 1)), 1, "one is listed when one is asked for")
    after = rows(osc, *INTROSPECTION, "list", "--marker", identifiers[0])
    equal([entry["UUID"] for entry in after], identifiers[1:], "the list goes on after a marker")
    fails(osc, "a limit over 1000", *INTROSPECTION, "list", "--limit", 1001, text="Limit over 1000")
    fails(osc, "a marker that is no UUID", *INTROSPECTION, "list", "--marker", "x", text="Marker not UUID-like")


def check_data(osc):
    """Returns the processed document."""
    save = (*INTROSPECTION, "data", "save")
    data = succeeds(osc, *save, host()).json()
    check("all_interfaces" in data and "inventory" in data, "data save prints the processed document")
    succeeds(osc, *save, host(), "--file", "data.json")
    equal(json.loads(Path(HOME, "data.json").read_text()), data, "with --file it goes to the file")
    unprocessed = succeeds(osc, *save, host(), "--unprocessed").json()
    equal(unprocessed["inventory"], data["inventory"], "the unprocessed document has the same inventory")
    check("all_interfaces" not in unprocessed, "and nothing that hooks add")
    succeeds(osc, *save, host(), "--unprocessed", "--file", "raw.json")
    equal(json.loads(Path(HOME, "raw.json").read_text()), unprocessed, "it goes to a file as well")
    fails(osc, "data of an unknown host", *save, "no-such-host", text="was not found in Ironic")
    return data


def check_interfaces(osc, data):
    interface = (*INTROSPECTION, "interface")
    known = data["all_interfaces"]
    table = rows(osc, *interface, "list", host())
    equal(list(table[0]), INTERFACE_COLUMNS, "interface list has its columns")
    equal({row["Interface"]: row["MAC Address"] for row in table}, {name: entry["mac"] for name, entry in known.items()}, "and all interfaces")
    for row in table:
        neighbour = known[row["Interface"]].get("lldp_processed", {})
        shown = (row["Switch Port ID"], row["Switch Chassis ID"])
        equal(shown, (neighbour.get("switch_port_id"), neighbour.get("switch_chassis_id")), f"{row['Interface']} has its LLDP columns")
    equal(len(rows(osc, *interface, "list", host(), "--long")), len(known), "interface list --long has them too")
    two = rows(osc, *interface, "list", host(), "--fields", "interface", "switch_port_mtu")
    equal(list(two[0]), ["Interface", "Switch Port MTU"], "interface list --fields has just those")
    vlans = {entry["id"]: name for name, value in known.items() for entry in value.get("lldp_processed", {}).get("switch_port_vlans", [])}
    for vlan, name in vlans.items():
        check(name in [row["Interface"] for row in rows(osc, *interface, "list", host(), "--vlan", vlan)], f"--vlan {vlan} finds {name}")
    equal(rows(osc, *interface, "list", host(), "--vlan", 4095), [], "--vlan finds nothing where there is nothing")
    name = sorted(known)[0]
    shown = rows(osc, *interface, "show", host(), name)
    equal((shown["interface"], shown["mac"], len(shown)), (name, known[name]["mac"], INTERFACE_FIELDS), "interface show has all fields")
    equal(rows(osc, *interface, "show", host(), name, "--fields", "mac"), {"mac": known[name]["mac"]}, "interface show --fields has just that")
    equal(osc.run(*interface, "show", host(), "no-such-if").code, 1, "an unknown interface: exit status 1")


def settled(osc, name, state):
    """Waits until the introspection of a host is in this state; returns its status."""

    def reached():
        status = osc.run(*INTROSPECTION, "status", name, "-f", "json").json()
        return status if status["state"] == state else None

    return until(reached, f"{name} to be {state}")


def check_abort(osc):
    succeeds(osc, *INTROSPECTION, "abort", host())
    equal(settled(osc, host(), "finished")["error"], None, "abort of a finished run changes nothing")
    fails(osc, "abort of an unknown host", *INTROSPECTION, "abort", "no-such-host", text="was not found in Ironic")
    absent = offline_host()
    if not absent:
        return skip("abort of a waiting run", "HOSTLER_OFFLINE_HOST is not set")
    succeeds(osc, *INTROSPECTION, "start", absent)
    settled(osc, absent, "waiting")
    succeeds(osc, *INTROSPECTION, "abort", absent)
    equal(settled(osc, absent, "error")["error"], "Canceled by operator", "abort ends a waiting run")


def check_reprocess(osc):
    before = settled(osc, host(), "finished")["started_at"]
    succeeds(osc, *INTROSPECTION, "reprocess", host())
    until(lambda: settled(osc, host(), "finished")["started_at"] > before, "the reapplied run")
    fails(osc, "reprocess of an unknown host", *INTROSPECTION, "reprocess", "no-such-host", text="was not found in Ironic")


def check_mode(mode):
    osc = login(mode)
    succeeds(osc, *INTROSPECTION, "rule", "purge")
    # The command polls every ten seconds, so two of them run beside what does not disturb them.
    waited = osc.start(*INTROSPECTION, "start", host(), "--wait", "--check-errors", "-f", "json")
    check_rules(osc)
    check_login(mode, osc)
    equal(succeeded(waited.result()).json(), [{"UUID": host(), "Error": None}], "it lists the host without an error")
    identifier = check_status(osc)
    check_list(osc, identifier)
    check_abort(osc)
    check_reprocess(osc)
    fails(osc, "start of an unknown host", *INTROSPECTION, "start", "no-such-host", text="was not found in Ironic")
    if mode.identity and not REFERENCE and os.environ.get("HOSTLER_HOST_ID"):
        equal(identifier, os.environ["HOSTLER_HOST_ID"], "the host has the UUID that it has everywhere")

    Path(HOME, "failing.json").write_text(json.dumps(FAILING))
    succeeds(osc, *INTROSPECTION, "rule", "import", "failing.json")
    waited = osc.start(*INTROSPECTION, "start", host(), "--wait", "--check-errors")
    settled(osc, host(), "error")
    check_interfaces(osc, check_data(osc))
    failed = waited.result()
    equal(failed.code, 1, f"{failed.line}: exit status 1 when a rule fails the run")
    contains(failed.err, "Introspection failed for some nodes", "the reason is on standard error")
    contains(failed.err, "stopped by a rule", "with the rule's message")
    succeeds(osc, *INTROSPECTION, "rule", "purge")
    succeeds(osc, *INTROSPECTION, "start", host())
    settled(osc, host(), "finished")


def program():
    for mode in modes(sys.argv[1:]):
        with prefixed(mode.name):
            check_mode(mode)


run(program)
