"""The service under test, and every way of logging in to it that the environment offers. README.md lists the variables."""

import os
import time
from dataclasses import dataclass
from functools import cached_property

from keystoneauth1 import http_basic, noauth, session, token_endpoint
from keystoneauth1.identity import v3

from checks import need

# Longer than any introspection of a connected host takes on a busy machine.
DEADLINE_SECONDS = 60
# The original instead of Hostler: it differs where Hostler departs from it on purpose.
REFERENCE = os.environ.get("HOSTLER_REFERENCE") == "1"


def record(from_session):
    """Makes a keystoneauth session note (method, path with query, status, request) of every answer in the list that is returned.

    The paths are those below the mount of the service, which is the root or, by the catalogue, `/introspection`.
    """
    log = []

    def note(answer, *_, **__):
        path = answer.request.path_url
        below = path.removeprefix("/introspection") if path.startswith("/introspection/v1") else path
        log.append((answer.request.method, below, answer.status_code, answer.request))

    from_session.session.hooks["response"].append(note)
    return log


@dataclass(frozen=True)
class Mode:
    """One way of logging in."""

    name: str
    url: str
    "Root of the REST interface: where `GET /` answers with the versions."

    @property
    def identity(self):
        """Whether the service catalogue tells where the service is, so that no endpoint has to be given."""
        return self.name in ("password", "appcred", "v3token")

    @cached_property
    def auth(self):
        """A fresh keystoneauth plug-in for this mode."""
        identity = f"{self.url}/identity/v3"
        if self.name == "password":
            return password_auth()
        if self.name == "appcred":
            return v3.ApplicationCredential(
                auth_url=identity,
                application_credential_id=need("HOSTLER_CRED_ID"),
                application_credential_secret=need("HOSTLER_CRED_SECRET"),
            )
        if self.name == "v3token":
            token = session.Session(auth=password_auth()).get_token()
            return v3.Token(auth_url=identity, token=token, project_name=project(), project_domain_name=domain())
        if self.name == "token":
            return token_endpoint.Token(endpoint=self.url, token=need("HOSTLER_TOKEN"))
        if self.name == "basic":
            user, password = basic_login()
            return http_basic.HTTPBasicAuth(endpoint=self.url, username=user, password=password)
        return noauth.NoAuth(endpoint=self.url)

    def session(self):
        """A keystoneauth session logged in this way."""
        return session.Session(auth=self.auth)


def domain():
    """The domain of user and project."""
    return os.environ.get("HOSTLER_DOMAIN", "Default")


def project():
    """The project to log in to."""
    return need("HOSTLER_PROJECT")


def password_auth():
    """Login by user name and password."""
    return v3.Password(
        auth_url=f"{need('HOSTLER_URL')}/identity/v3",
        username=need("HOSTLER_USERNAME"),
        password=need("HOSTLER_PASSWORD"),
        user_domain_name=domain(),
        project_name=project(),
        project_domain_name=domain(),
    )


def basic_login():
    """User and password of the HTTP basic manager: its own, or else those of the other one."""
    user = os.environ.get("HOSTLER_BASIC_USERNAME") or need("HOSTLER_USERNAME")
    return user, os.environ.get("HOSTLER_BASIC_PASSWORD") or need("HOSTLER_PASSWORD")


def modes(wanted=()):
    """The modes that the environment has the values for, or those named, in a fixed order."""
    given = os.environ.get
    url, noauth_url, basic_url = ((given(name) or "").rstrip("/") for name in ("HOSTLER_URL", "HOSTLER_NOAUTH_URL", "HOSTLER_BASIC_URL"))
    offered = {
        "password": url if given("HOSTLER_PASSWORD") else "",
        "appcred": url if given("HOSTLER_CRED_ID") else "",
        "v3token": url if given("HOSTLER_PASSWORD") else "",
        "token": url if given("HOSTLER_TOKEN") else "",
        "none": noauth_url,
        "basic": basic_url,
    }
    unknown = [name for name in wanted if not offered.get(name)]
    found = [Mode(name, address) for name, address in offered.items() if address and (not wanted or name in wanted)]
    if unknown or not found:
        raise SystemExit(f"the environment does not offer {', '.join(unknown) or 'any way to log in'}; see tests/python/README.md")
    return found


def host():
    """The name of a host whose agent is connected."""
    return need("HOSTLER_HOST")


def more_hosts():
    """Names of further hosts with connected agents."""
    return [name for name in os.environ.get("HOSTLER_MORE_HOSTS", "").split(",") if name]


def offline_host():
    """The name of a host whose agent is not connected, so that its introspection stays in `waiting`; None if there is none."""
    return os.environ.get("HOSTLER_OFFLINE_HOST")


def until(condition, what):
    """Waits for `condition()` to be something true and returns that; fails after the deadline."""
    end = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise TimeoutError(f"waited {DEADLINE_SECONDS} s for {what}")
