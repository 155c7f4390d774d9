"""A manager of network functions, or of an application, as tenants run them: it hears of maintenance by alarms and answers.

It does what the clients do that exist (spec/maintenance.md §1.13), with what they use for it: HTTP, JSON, and YAML for the values of
traits. `VNFM_KIND` says which one it is:

| kind | what it does |
|---|---|
| `tacker` | says what each instance needs before anything happens, answers for each instance, sends twice what names a way to move, wants exactly 200 and repeats up to five times, confirms also what is no question; refuses each question the first time (it is busy); agrees to shrink at once, but removes nothing until it is asked once more |
| `doctor` | reads the list behind the link, refuses what is not its own, answers for all of its instances at once, with keys of older clients |

A subscription with a URL of its own is made at the start. Whatever it cannot read, and each answer that is not 200, is a problem: it goes
on and tells of it. Lines on standard input: `report` waits until everything was answered, and writes what happened so far as a line of
JSON; `end` also takes back what was made at the start. When the input ends, so does the program.
"""

import json
import queue
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import yaml

from checks import need

STATES = ("MAINTENANCE", "SCALE_IN", "PREPARE_MAINTENANCE", "PLANNED_MAINTENANCE", "MAINTENANCE_COMPLETE", "INSTANCE_ACTION_DONE")
OF_INSTANCES = ("PREPARE_MAINTENANCE", "PLANNED_MAINTENANCE")
MOVES = ("MIGRATE", "LIVE_MIGRATE")
TRAIT_MAX = 255
TRIES = 5
PAUSE_SECONDS = 0.05
PATIENCE_SECONDS = 60


def read_alarm(body):
    """The traits of an alarm, taken apart as the clients do it. Raises whatever is wrong."""
    alarm = json.loads(body.decode("utf-8"))
    if alarm["current"] != "alarm" or alarm["reason_data"]["type"] != "event":
        raise ValueError("it is no alarm of an event")
    event = alarm["reason_data"]["event"]
    if event["event_type"] != "maintenance.scheduled":
        raise ValueError(f"it is about {event['event_type']}")
    data = {}
    for name, kind, value in event["traits"]:
        text = str(value)
        if len(text) > TRAIT_MAX or kind not in (1, 2, 3, 4):
            raise ValueError(f"trait {name}: {kind} {text}")
        data[name] = yaml.safe_load(text.replace("u'", "'")) if "[" in text or "{" in text else text
    missing = [name for name in ("instance_ids", "session_id", "state", "reply_url") if name not in data]
    if missing:
        raise ValueError(f"no {missing} in {data}")
    if data["state"] not in STATES:
        raise ValueError(f"{data['state']} is not known here")
    return data


class Client:
    """Everything that is sent, with a token that was fetched by password, to where the catalogue says."""

    def __init__(self, problem):
        self.problem = problem
        self.statuses = {}
        self.repeats = 0
        # Proxies of the surroundings are not for what is on this machine.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.token, self.project, self.endpoint = self._log_in()

    def _log_in(self):
        user = {"name": need("VNFM_USERNAME"), "password": need("VNFM_PASSWORD"), "domain": {"name": "Default"}}
        scope = {"project": {"name": need("VNFM_PROJECT"), "domain": {"name": "Default"}}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}
        url = f"{need('VNFM_AUTH_URL')}/auth/tokens"
        request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST")
        with self.opener.open(request, timeout=PATIENCE_SECONDS) as answer:
            token = answer.headers["X-Subject-Token"]
            login = json.load(answer)["token"]
        (service,) = [one for one in login["catalog"] if one["type"] == "maintenance"]
        (endpoint,) = [one["url"] for one in service["endpoints"] if one["interface"] == "public"]
        return token, login["project"]["id"], endpoint

    def once(self, method, url, body=None):
        """The status and the body of an answer; status 0 if there was none."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"X-Auth-Token": self.token, "Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with self.opener.open(request, timeout=PATIENCE_SECONDS) as answer:
                status, said = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read()
        except OSError as error:
            status, said = 0, str(error).encode()
        self.statuses[str(status)] = self.statuses.get(str(status), 0) + 1
        if status != 200:
            self.problem(f"{method} {url} {json.dumps(body)}: {status} {said.decode(errors='replace')}")
            return status, None
        return status, json.loads(said)

    def send(self, method, url, body=None):
        """Sends until the answer is exactly 200, five times at the most. The statuses that it took, and the last body."""
        statuses = []
        for attempt in range(TRIES):
            if attempt:
                self.repeats += 1
                time.sleep(PAUSE_SECONDS)
            status, said = self.once(method, url, body)
            statuses.append(status)
            if status == 200:
                return statuses, said
        return statuses, None


class Tenant:
    """What both kinds have in common: a place where alarms arrive, and one after the other to answer them."""

    def __init__(self):
        self.problems = []
        self.alarms = 0
        self.answers = []
        self.inbox = queue.Queue()
        self.client = Client(self.problems.append)
        self.servers = need("VNFM_SERVERS").split(",")
        tenant = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                tenant.hear(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.desk = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.desk.daemon_threads = True
        threading.Thread(target=self.desk.serve_forever, daemon=True).start()
        threading.Thread(target=self.work, daemon=True).start()

    def begin(self):
        subscription = {
            "url": f"http://127.0.0.1:{self.desk.server_port}/v1.0/vnfs/alarm", "format": "aodh",
            "project_id": self.client.project, "event_types": ["maintenance.planned"],
        }
        _, made = self.client.once("POST", f"{self.client.endpoint}/subscription", subscription)
        self.subscription = f"{self.client.endpoint}/subscription/{made['id']}"

    def end(self):
        self.client.send("DELETE", self.subscription)

    def hear(self, body):
        self.alarms += 1
        try:
            self.inbox.put(read_alarm(body))
        except Exception as error:
            self.problems.append(f"{error!r} in {body!r}")

    def work(self):
        while True:
            data = self.inbox.get()
            try:
                self.answer(data)
            except Exception as error:
                self.problems.append(f"{error!r} about {data}")
            self.inbox.task_done()

    def reply(self, data, body, times=1):
        sent = [self.client.send("PUT", data["reply_url"], body) for _ in range(times)]
        for _, echoed in sent:
            if echoed not in (None, body):
                self.problems.append(f"{body} was echoed as {echoed}")
        statuses = [status for some, _ in sent for status in some]
        self.answers.append({"state": data["state"], "about": data["instance_ids"], "reply": body["state"], "statuses": statuses})

    def listed(self, data):
        """The instances behind the link of a question."""
        _, said = self.client.once("GET", data["instance_ids"])
        return said["instance_ids"]

    def remove(self, servers):
        """Gives servers up, at the compute service, as a tenant who shrinks does."""
        for server in servers:
            self.servers.remove(server)
            self.client.once("DELETE", f"{need('VNFM_COMPUTE_URL')}/servers/{server}")

    def report(self):
        self.inbox.join()
        print(json.dumps({
            "alarms": self.alarms, "answers": self.answers, "problems": self.problems, "project": self.client.project,
            "servers": self.servers, "statuses": self.client.statuses, "repeats": self.client.repeats,
        }), flush=True)


class Tacker(Tenant):
    """Answers for each instance."""

    def __init__(self):
        super().__init__()
        self.group = need("VNFM_GROUP")
        self.asked = {}

    def begin(self):
        # Numbers and truth with the commas that its sample configuration has.
        group = {
            "group_id": self.group, "project_id": self.client.project, "group_name": "vnf_nova_app_group", "anti_affinity_group": False,
            "max_instances_per_host": 0, "max_impacted_members": "2,", "recovery_time": 5, "resource_mitigation": "True,",
        }
        self.client.send("PUT", f"{self.client.endpoint}/instance_group/{self.group}", group)
        for server in self.servers:
            record = {
                "instance_id": server, "project_id": self.client.project, "group_id": self.group, "instance_name": f"name of {server}",
                "max_interruption_time": "120,", "migration_type": "MIGRATE", "resource_mitigation": True, "lead_time": 30,
            }
            self.client.send("PUT", f"{self.client.endpoint}/instance/{server}", record)
        super().begin()

    def end(self):
        super().end()
        for server in self.servers:
            self.forget(server)
        self.client.send("DELETE", f"{self.client.endpoint}/instance_group/{self.group}")

    def forget(self, server):
        self.client.send("DELETE", f"{self.client.endpoint}/instance/{server}")

    def answer(self, data):
        state = data["state"]
        if state == "INSTANCE_ACTION_DONE":
            return self.reply(data, {"session_id": data["session_id"], "state": f"ACK_{state}"})
        question = (state, str(data["instance_ids"]))
        asked = self.asked[question] = self.asked.get(question, 0) + 1
        word = "NACK" if asked % 2 else "ACK"
        body = {"session_id": data["session_id"], "state": f"{word}_{state}"}
        if state == "SCALE_IN" and asked == 4:
            for server in (gone := self.listed(data)):
                self.forget(server)
            self.remove(gone)
        if state not in OF_INSTANCES:
            return self.reply(data, body)
        if not isinstance(data["allowed_actions"], list) or not isinstance(data["instance_ids"], list):
            raise ValueError("allowed_actions and instance_ids are to be lists")
        body["instance_ids"] = data["instance_ids"][0]
        body["instance_action"] = data["allowed_actions"][0]
        self.reply(data, body, 2 if body["instance_action"] in MOVES else 1)


class Doctor(Tenant):
    """Answers for all instances at once."""

    def answer(self, data):
        state = data["state"]
        if state == "INSTANCE_ACTION_DONE":
            return
        listed = self.listed(data)
        foreign = [server for server in listed if server not in self.servers]
        if foreign:
            self.problems.append(f"{foreign} are of somebody else")
        body = {"session_id": data["session_id"], "instance_ids": listed, "state": f"{'NACK' if foreign else 'ACK'}_{state}"}
        if state == "SCALE_IN":
            # Of different hosts: there is room, but no empty host.
            self.remove(self.servers[0:3:2])
        if state in OF_INSTANCES:
            body["instance_actions"] = dict.fromkeys(listed, "MIGRATE")
        self.reply(data, body)


def main():
    tenant = {"tacker": Tacker, "doctor": Doctor}[need("VNFM_KIND")]()
    tenant.begin()
    tenant.report()
    for line in sys.stdin:
        if line.strip() == "end":
            tenant.end()
        tenant.report()


main()
