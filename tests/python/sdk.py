"""openstacksdk's `baremetal_introspection` proxy, in every mode of logging in that the environment offers.

Usage: sdk.py [MODE...]       modes as in README.md; without one, all that are offered
"""

import sys
import uuid

import openstack
from openstack import exceptions

from checks import check, contains, equal, ok, prefixed, raises, run, skip
from target import REFERENCE, basic_login, domain, host, modes, more_hosts, need, offline_host, project, record, until

RULE = {"conditions": [{"op": "eq", "field": "data://inventory.cpu.count", "value": -1}], "actions": [{"action": "fail", "message": "never"}]}
FAILING = {"conditions": [], "actions": [{"action": "fail", "message": "stopped by a rule"}]}
PAGES = 3


def connect(mode, **changes):
    """An SDK connection made from plain settings, as an operator's script makes it; `changes` replaces some of them."""
    identity = {"auth_url": f"{mode.url}/identity/v3"}
    scope = {"project_name": project(), "project_domain_name": domain()} if mode.name in ("password", "v3token") else {}
    direct = {"endpoint": mode.url, "baremetal_introspection_endpoint_override": mode.url}
    if mode.name == "password":
        settings = {"username": need("HOSTLER_USERNAME"), "password": need("HOSTLER_PASSWORD"), "user_domain_name": domain(), **identity, **scope}
    elif mode.name == "appcred":
        settings = {"auth_type": "v3applicationcredential", "application_credential_id": need("HOSTLER_CRED_ID"), **identity}
        settings["application_credential_secret"] = need("HOSTLER_CRED_SECRET")
    elif mode.name == "v3token":
        settings = {"auth_type": "v3token", "token": mode.session().get_token(), **identity, **scope}
    elif mode.name == "token":
        settings = {"auth_type": "admin_token", "token": need("HOSTLER_TOKEN"), **direct}
    elif mode.name == "basic":
        user, password = basic_login()
        settings = {"auth_type": "http_basic", "username": user, "password": password, **direct}
    else:
        settings = {"auth_type": "none", **direct}
    return openstack.connect(load_yaml_config=False, load_envvars=False, **{**settings, **changes})


def introspect(proxy, name):
    """Starts an introspection and waits for its good end."""
    return proxy.wait_for_introspection(proxy.start_introspection(name, manage_boot=False), timeout=60)


def check_start(proxy, log):
    del log[:]
    started = proxy.start_introspection(host(), manage_boot=False)
    equal(log[0][:3], ("POST", f"/v1/introspection/{host()}?manage_boot=False", 202), "start with manage_boot=False is accepted")
    contains(str(log[0][3].body), host(), "the SDK sends a body, which is ignored")
    equal(str(uuid.UUID(started.id)), started.id, "the answer is completed by the status, with its UUID")
    done = proxy.wait_for_introspection(started, timeout=60)
    equal((done.state, done.is_finished, done.error), ("finished", True, None), "wait returns the finished run")
    if REFERENCE:
        skip("start with manage_boot=True is refused", "the original here manages boot")
    else:
        before = proxy.get_introspection(host())
        error = raises(
            exceptions.BadRequestException, "start with manage_boot=True is refused", proxy.start_introspection, host(), manage_boot=True, status=400
        )
        contains(str(error), "cannot manage boot", "the refusal says that boot is not managed")
        equal(proxy.get_introspection(host()).started_at, before.started_at, "the refused start changed nothing")
    defaulted = proxy.wait_for_introspection(proxy.start_introspection(host()), timeout=60)
    equal(defaulted.state, "finished", "start without manage_boot runs")
    return defaulted


def check_show(proxy, done):
    by_name, by_id = proxy.get_introspection(host()), proxy.get_introspection(done.id)
    equal(by_name.id, done.id, "get by name finds the host")
    equal(by_id.started_at, done.started_at, "get by UUID finds the same run")
    check(by_name.finished_at and by_name.links, "get has times and links")
    raises(exceptions.NotFoundException, "get of an unknown name is a 404", proxy.get_introspection, "no-such-host", status=404)
    raises(exceptions.NotFoundException, "get of an unknown UUID is a 404", proxy.get_introspection, str(uuid.uuid4()), status=404)
    raises(exceptions.NotFoundException, "start of an unknown host is a 404", proxy.start_introspection, "no-such-host", manage_boot=False, status=404)


def check_list(proxy, log):
    for name in more_hosts():
        equal(introspect(proxy, name).state, "finished", f"{name} is introspected")
    everything = [entry.id for entry in proxy.introspections()]
    check(len(everything) >= PAGES, f"the list has {PAGES} records at least", f"only {len(everything)}: name more hosts in HOSTLER_MORE_HOSTS")
    del log[:]
    equal([entry.id for entry in proxy.introspections(limit=1)], everything, "pages of one are the whole list, in its order")
    requests = [entry[1] for entry in log]
    equal(len(requests), len(everything) + 1, "the SDK asked for a page a record, and for the empty one after them")
    contains(requests[-1], f"marker={everything[-1]}", "each page begins after the last record of the one before")
    equal([entry.id for entry in proxy.introspections(limit=2)], everything, "pages of two are the same list")
    raises(exceptions.BadRequestException, "a limit over 1000 is refused", lambda: list(proxy.introspections(limit=1001)), status=400)


def check_data(proxy, log):
    data = proxy.get_introspection_data(host())
    check("all_interfaces" in data and "inventory" in data, "data are the processed document")
    del log[:]
    unprocessed = proxy.get_introspection_data(host(), processed=False)
    equal(unprocessed["inventory"], data["inventory"], "unprocessed data have the same inventory")
    equal(log[-1][3].headers["OpenStack-API-Version"], "baremetal-introspection 1.17", "they were asked for with the standard version header")
    check("all_interfaces" not in unprocessed, "unprocessed data have nothing that hooks add")
    raises(exceptions.NotFoundException, "data of an unknown UUID are a 404", proxy.get_introspection_data, str(uuid.uuid4()), status=404)


def check_abort(proxy, log):
    finished = proxy.get_introspection(host())
    del log[:]
    proxy.abort_introspection(finished)
    equal(log, [], "abort of a run known to be finished is not even sent")
    proxy.abort_introspection(host())
    equal(log[-1][:3], ("POST", f"/v1/introspection/{host()}/abort", 202), "abort by name is sent and accepted")
    equal(proxy.get_introspection(host()).state, finished.state, "and changes nothing")
    proxy.abort_introspection("no-such-host", ignore_missing=True)
    ok("abort of an unknown host can be ignored")
    raises(exceptions.NotFoundException, "or else is a 404", proxy.abort_introspection, "no-such-host", ignore_missing=False, status=404)
    absent = offline_host()
    if not absent:
        return skip("abort of a waiting run", "HOSTLER_OFFLINE_HOST is not set")
    started = proxy.start_introspection(absent, manage_boot=False)
    until(lambda: proxy.get_introspection(absent).state == "waiting", "the host to be waited for")
    raises(exceptions.ResourceTimeout, "wait for a host that does not answer times out", proxy.wait_for_introspection, started, timeout=1)
    del log[:]
    proxy.abort_introspection(absent)
    equal(log[-1][:3], ("POST", f"/v1/introspection/{absent}/abort", 202), "abort of a waiting run is accepted")
    aborted = proxy.wait_for_introspection(absent, timeout=60, ignore_error=True)
    equal((aborted.state, aborted.error), ("error", "Canceled by operator"), "and ends it")
    raises(exceptions.ResourceFailure, "wait for a failed run raises", proxy.wait_for_introspection, absent, timeout=60, text="Canceled by operator")


def check_rules(proxy, log, adapter):
    for rule in proxy.introspection_rules():
        proxy.delete_introspection_rule(rule)
    identifier = str(uuid.uuid4())
    del log[:]
    if REFERENCE:
        raises(exceptions.HttpException, "rule creation is a 405", proxy.create_introspection_rule, id=identifier, **RULE, status=405)
        adapter.post("/rules", json={"uuid": identifier, "description": "by the SDK", **RULE})
    else:
        created = proxy.create_introspection_rule(id=identifier, description="by the SDK", **RULE)
        equal(log[-1][:3], ("POST", f"/v1/rules/{identifier}", 201), "rule creation posts to the rule's own URL")
        equal((created.id, created.description), (identifier, "by the SDK"), "create answers with the rule")
        equal(created.conditions[0]["multiple"], "any", "conditions come back with their defaults")
    listed = list(proxy.introspection_rules())
    equal([rule.id for rule in listed], [identifier], "the list has the rule")
    rule = proxy.get_introspection_rule(identifier)
    equal((rule.description, rule.actions), ("by the SDK", RULE["actions"]), "get answers with the rule")
    proxy.delete_introspection_rule(identifier, ignore_missing=False)
    raises(exceptions.NotFoundException, "a deleted rule is gone", proxy.get_introspection_rule, identifier, status=404)
    raises(exceptions.NotFoundException, "it cannot be deleted twice", proxy.delete_introspection_rule, identifier, ignore_missing=False, status=404)


def check_erroneous_run(proxy, adapter):
    rule = adapter.post("/rules", json=FAILING).json()["uuid"]
    started = proxy.start_introspection(host(), manage_boot=False)
    raises(
        exceptions.ResourceFailure, "wait for a run that a rule fails raises", proxy.wait_for_introspection, started, timeout=60, text="stopped by a rule"
    )
    ignored = proxy.wait_for_introspection(host(), timeout=60, ignore_error=True)
    equal(ignored.state, "error", "unless errors are ignored")
    proxy.delete_introspection_rule(rule)
    equal(introspect(proxy, host()).state, "finished", "without the rule the next run is good")


def check_identity(mode, connection):
    """What the SDK asks the identity service once it has logged in."""
    check(connection.current_user_id and connection.current_project_id, "the token tells user and project")
    endpoint = connection.session.get_endpoint(service_type="baremetal-introspection")
    check(endpoint and endpoint.startswith("http"), "the catalogue has the introspection endpoint")
    users = {user.id: user.name for user in connection.identity.users()}
    equal(users.get(connection.current_user_id), need("HOSTLER_USERNAME"), "the list of users has the own one")
    projects = {found.id: found.name for found in connection.identity.projects()}
    equal(projects.get(connection.current_project_id), project(), "the list of projects has the own one")
    wrong = {"v3token": {"token": "none"}, "appcred": {"application_credential_secret": "wrong"}, "password": {"password": "wrong"}}[mode.name]
    raises(exceptions.SDKException, "wrong credentials do not log in", connect(mode, **wrong).authorize, text="(HTTP 40")
    if mode.name == "password":
        raises(exceptions.SDKException, "an unknown user does not log in", connect(mode, username="nobody-at-all").authorize, text="(HTTP 401)")


def check_refusals(mode):
    """Logins without the identity service are judged by the service itself."""
    if mode.name == "none":
        return
    wrong = {"token": "wrong"} if mode.name == "token" else {"password": "wrong"}
    proxy = connect(mode, **wrong).baremetal_introspection
    raises(exceptions.HttpException, "wrong credentials are refused", lambda: list(proxy.introspections()), status=401)


def program():
    for mode in modes(sys.argv[1:]):
        with prefixed(mode.name):
            connection = connect(mode)
            log = record(connection.session)
            proxy = connection.baremetal_introspection
            if mode.identity:
                check_identity(mode, connection)
            else:
                check_refusals(mode)
            for rule in proxy.introspection_rules():
                proxy.delete_introspection_rule(rule)
            done = check_start(proxy, log)
            check_show(proxy, done)
            check_list(proxy, log)
            check_data(proxy, log)
            check_abort(proxy, log)
            check_rules(proxy, log, proxy)
            check_erroneous_run(proxy, proxy)


run(program)
