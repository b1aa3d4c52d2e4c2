"""A real node for the tests that are written in Python: `islet seed`, then `islet serve` on free
ports of loopback, and a small client. Everything lies in a temporary directory."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = Path(os.environ.get("ISLET_BINARY", ROOT / "target" / "debug" / "islet"))
PATIENT = ("40123456", "thepassword")
ADMIN = ("admin", "admin")
READY = re.compile(r"islet ready: (\S+) backoffice (\S+) https (\S+)")


class Node:
    """A running node with the two patients and the admin of `islet seed`."""

    def __init__(self):
        self.dir = Path(tempfile.mkdtemp(prefix="islet-test-"))
        self.data = self.dir / "node"
        self.log_path = self.dir / "log"
        self.environment = {
            key: value for key, value in os.environ.items() if not key.startswith("ISLET_")
        }
        self.environment["ISLET_PEER"] = "off"
        self.run("seed")
        any_port = "127.0.0.1:0"
        command = [BINARY, "serve", "--data", self.data, "--http", any_port]
        command += ["--backoffice", any_port, "--https", any_port]
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=self.environment
            )
        line = self.process.stdout.readline()
        match = READY.match(line)
        assert match, f"not ready: {line!r}\n{self.log()}"
        self.ready = line
        self.patient_url, self.backoffice_url, self.https_url = match.groups()

    def run(self, *words):
        """Runs a command of the binary to its end and returns what it printed."""
        command = [BINARY, "--data", self.data, *words]
        done = subprocess.run(command, capture_output=True, text=True, env=self.environment)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def log(self):
        """What the node wrote to its log so far."""
        return self.log_path.read_text(errors="replace")

    def stop(self):
        """Stops the node as systemd would, and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def remove(self):
        """Ends the node, if it still runs, and removes its data."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def call(base, method, path, token=None, body=None, form=None):
    """Sends a request; returns the status and the JSON of the answer (None when it has no body)."""
    headers, data = {}, None
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    elif body is not None or method in ("POST", "PUT", "PATCH"):
        data = b"" if body is None else json.dumps(body).encode()
        headers["Content-Type"] = "application/json"
    request = urllib.request.Request(base + path, data=data, headers=headers, method=method)
    # Never through a proxy: the node is on this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=30) as answer:
            status, text = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read()
    return status, json.loads(text) if text else None


def log_in(base, account):
    """The access token of an account, as (name, password)."""
    form = {"username": account[0], "password": account[1]}
    status, answer = call(base, "POST", "/token", form=form)
    assert status == 200, answer
    return answer["access_token"]
