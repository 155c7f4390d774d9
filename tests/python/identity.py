"""The look-ups and credentials that `openstack` offers around a login: what users of the introspection commands also type.

Usage: identity.py       needs HOSTLER_URL, HOSTLER_USERNAME, HOSTLER_PASSWORD and HOSTLER_PROJECT; the user must be an administrator
"""

import uuid

import requests
from keystoneauth1 import session

from checks import check, contains, equal, prefixed, run
from osc import Osc, fails, rows, succeeds
from target import domain, need, password_auth, project

SERVICE_TYPE = "baremetal-introspection"


def by_password(**changes):
    """The command with password login by environment variables; `changes` replaces some of them."""
    settings = {
        "OS_AUTH_URL": f"{need('HOSTLER_URL').rstrip('/')}/identity/v3", "OS_USERNAME": need("HOSTLER_USERNAME"),
        "OS_PASSWORD": need("HOSTLER_PASSWORD"), "OS_PROJECT_NAME": project(), "OS_USER_DOMAIN_NAME": domain(),
        "OS_PROJECT_DOMAIN_NAME": domain(), "OS_IDENTITY_API_VERSION": "3",
    }
    return Osc((), {**settings, **changes})


def by_credential(identifier, secret):
    """The command with an application credential."""
    url = f"{need('HOSTLER_URL').rstrip('/')}/identity/v3"
    options = ("--os-application-credential-id", identifier, "--os-application-credential-secret", secret)
    return Osc(("--os-auth-type", "v3applicationcredential", "--os-auth-url", url, *options))


def check_discovery():
    """Versions are public, and lead to the endpoint that was asked."""
    root = need("HOSTLER_URL").rstrip("/") + "/identity"
    for url in (f"{root}/v3", f"{root}/v3/"):
        answer = requests.get(url, timeout=10)
        equal(answer.status_code, 200, f"GET {url.removeprefix(root)} needs no token")
        version = answer.json()["version"]
        check(version["id"].startswith("v3.") and version["status"] == "stable", "it is a stable version 3")
    listed = requests.get(f"{root}/", timeout=10)
    check(listed.status_code in (200, 300), "GET / of the identity mount lists versions", f"status {listed.status_code}")
    check(any(entry["id"].startswith("v3.") for entry in listed.json()["versions"]["values"]), "version 3 is among them")


def check_token(osc):
    """Returns (user id, project id)."""
    token = rows(osc, "token", "issue")
    equal(set(token), {"expires", "id", "project_id", "user_id"}, "a token has an expiry, a user and a project")
    value = succeeds(osc, "token", "issue", "-f", "value", "-c", "id").out.strip()
    check(value and value != token["id"], "every token is another one")
    url = need("HOSTLER_URL").rstrip("/")
    scope = ("--os-project-name", project(), "--os-project-domain-name", domain())
    again = Osc(("--os-auth-type", "v3token", "--os-auth-url", f"{url}/identity/v3", "--os-token", value, *scope))
    equal(rows(again, "token", "issue")["user_id"], token["user_id"], "a token logs in as its user")
    live = requests.get(f"{url}/v1/introspection", headers={"X-Auth-Token": value}, timeout=10)
    equal(live.status_code, 200, "the token opens the introspection service")
    succeeds(osc, "token", "revoke", value)
    dead = requests.get(f"{url}/v1/introspection", headers={"X-Auth-Token": value}, timeout=10)
    equal(dead.status_code, 401, "a revoked token does not")
    return token["user_id"], token["project_id"]


def check_users_and_projects(osc, user, own_project):
    users = {entry["ID"]: entry["Name"] for entry in rows(osc, "user", "list")}
    equal(users.get(user), need("HOSTLER_USERNAME"), "user list has the own user")
    projects = {entry["ID"]: entry["Name"] for entry in rows(osc, "project", "list")}
    equal(projects.get(own_project), project(), "project list has the own project")
    for key in (user, need("HOSTLER_USERNAME")):
        equal(rows(osc, "user", "show", key)["id"], user, f"user show {key}")
    for key in (own_project, project()):
        equal(rows(osc, "project", "show", key)["id"], own_project, f"project show {key}")
    equal(osc.run("user", "show", "nobody-at-all").code, 1, "user show of an unknown user: exit status 1")
    equal(osc.run("project", "show", "nothing-at-all").code, 1, "project show of an unknown project: exit status 1")


def check_catalog(osc):
    catalog = {entry["Type"]: entry for entry in rows(osc, "catalog", "list")}
    check(SERVICE_TYPE in catalog and "identity" in catalog, "the catalogue has both services", f"it has {sorted(catalog)}")
    shown = rows(osc, "catalog", "show", SERVICE_TYPE)
    endpoints = {entry["interface"]: entry["url"] for entry in shown["endpoints"]}
    answer = requests.get(endpoints["public"], timeout=10)
    equal(answer.status_code, 200, "the public endpoint of the introspection service answers")
    check("versions" in answer.json() or "resources" in answer.json(), "with its versions")
    chosen = session.Session(auth=password_auth()).get_endpoint(service_type=SERVICE_TYPE, interface="public")
    equal(chosen, endpoints["public"], "keystoneauth finds the same endpoint")


def check_credentials(osc):
    name, command = f"e2e-{uuid.uuid4().hex[:8]}", ("application", "credential")
    made = rows(osc, *command, "create", name, "--description", "for a check")
    check(made["ID"] and made["Secret"], "application credential create shows the secret, once")
    login = by_credential(made["ID"], made["Secret"])
    user, own_project = (rows(osc, "token", "issue")[key] for key in ("user_id", "project_id"))
    token = rows(login, "token", "issue")
    equal((token["user_id"], token["project_id"]), (user, own_project), "it logs in as its user, to its project")
    succeeds(login, "catalog", "list")
    succeeds(login, "baremetal", "introspection", "list")
    fails(by_credential(made["ID"], "wrong"), "a wrong secret", "token", "issue", text="HTTP 401")
    listed = {entry["ID"]: entry["Name"] for entry in rows(osc, *command, "list")}
    equal(listed.get(made["ID"]), name, "application credential list has it")
    shown = rows(osc, *command, "show", name)
    equal((shown["ID"], shown.get("Secret")), (made["ID"], None), "application credential show does not have the secret")
    chosen = rows(osc, *command, "create", f"{name}-own", "--secret", "chosen-by-the-user")
    succeeds(by_credential(chosen["ID"], "chosen-by-the-user"), "token", "issue")
    taken = osc.run(*command, "create", name)
    equal(taken.code, 1, "a name is taken once: exit status 1")
    contains(taken.err, "409", "the reason is a conflict")
    for identifier in (made["ID"], f"{name}-own"):
        succeeds(osc, *command, "delete", identifier)
    # Keystone says 404 here; what counts is that the login fails and that the command line says so.
    fails(login, "a deleted credential", "token", "issue", text="(HTTP 40")
    check(made["ID"] not in [entry["ID"] for entry in rows(osc, *command, "list")], "application credential list has it no more")


def check_refusals():
    fails(by_password(OS_PASSWORD="wrong"), "a wrong password", "token", "issue", text="HTTP 401")
    fails(by_password(OS_USERNAME="nobody-at-all"), "an unknown user", "token", "issue", text="HTTP 401")
    fails(by_password(OS_PROJECT_NAME="nothing-at-all"), "an unknown project", "token", "issue", text="HTTP 401")
    url = need("HOSTLER_URL").rstrip("/") + "/identity/v3/auth/tokens"
    empty = requests.post(url, json={"auth": {}}, timeout=10)
    equal((empty.status_code, empty.json()["error"]["code"]), (400, 400), "a request without an identity is a 400, in Keystone's form")
    for method in (requests.get, requests.delete):
        answer = method(url, headers={"X-Subject-Token": "none"}, timeout=10)
        equal(answer.status_code, 401, f"{answer.request.method} of a token needs a token")


def program():
    with prefixed("identity"):
        check_discovery()
        osc = by_password()
        user, own_project = check_token(osc)
        check_users_and_projects(osc, user, own_project)
        check_catalog(osc)
        check_credentials(osc)
        check_refusals()


run(program)
