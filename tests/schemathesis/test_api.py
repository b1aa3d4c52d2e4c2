"""Schemathesis against the real binary: what the two descriptions of the API promise is what the
node does, whatever is sent to it. The settings are in schemathesis.toml."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from node import ADMIN, PATIENT, Node, call, log_in

HERE = Path(__file__).resolve().parent
CLINICAL_FORM = {
    "glucose_objective": 110, "insulin_type": "rapid", "dose": 10, "fast_insulin": "lispro",
    "fixed_dose": 2, "ratio": 12, "sensitivity": 40, "pump_type": "none", "motive": ["AJUSTE"],
}
RESOLUTION = {"appointment_id": 1, "emergency_care": False, "needed_physical_appointment": False}


@pytest.fixture
def node():
    node = Node()
    yield node
    node.remove()


def make_a_day(node):
    """Both patients in the queue, one of them with an appointment and its resolution."""
    admin = log_in(node.backoffice_url, ADMIN)
    patient = log_in(node.patient_url, PATIENT)

    def done(answer):
        assert answer[0] in (200, 201), answer
        return answer[1]

    done(call(node.backoffice_url, "POST", "/appointments/queue/size?new_size=100", admin))
    done(call(node.backoffice_url, "POST", "/appointments/queue/open", admin))
    placement = done(call(node.patient_url, "POST", "/appointments/submit", patient))
    done(call(node.backoffice_url, "PUT", f"/appointments/accept/{placement}", admin))
    made = done(call(node.patient_url, "POST", "/appointments/create", patient, CLINICAL_FORM))
    assert made["appointment_id"] == 1
    done(call(node.backoffice_url, "POST", "/appointments/create_resolution", admin, RESOLUTION))
    other = log_in(node.patient_url, ("40123457", "thepassword2"))
    done(call(node.patient_url, "POST", "/appointments/submit", other))
    reading = "/glucose/create?glucose_level=120&reading_type=CENA"
    done(call(node.patient_url, "POST", reading, patient))
    return {"patient": (node.patient_url, patient), "backoffice": (node.backoffice_url, admin)}


def schemathesis(base, token, report):
    """Runs it; returns the exit code and what it printed. The secret is not printed."""
    command = [
        Path(sys.executable).with_name("st"), "--no-color",
        "--config-file", HERE / "schemathesis.toml", "run", f"{base}/openapi.json",
        "--header", f"Authorization: Bearer {token}",
        "--report", "json", "--report-json-path", report,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=480)
    return done.returncode, done.stdout + done.stderr


# Not asked for: streams without an end, and what would block the account that asks.
NOT_ASKED = {"GET /v1/events", "GET /ws/readings", "PATCH /v1/staff/{id}"}

# Routes that made-up requests do not get through: they need a secret, or a state of the queue that
# is gone after the first success. tests/api has them.
NEVER_ACCEPTED = {
    "patient": {
        "POST /token", "POST /reset-password", "PUT /users/me/password", "POST /appointments/create",
        "POST /appointments/cancel", "POST /v1/sessions", "POST /v1/sessions/refresh",
        "PUT /v1/profile/password", "POST /v1/appointments", "DELETE /v1/queue/place",
        "GET /v1/readings/{id}", "GET /v1/appointments/{id}", "GET /v1/appointments/{id}/resolution",
    },
    "backoffice": {
        "POST /token", "PUT /appointments/accept/{id}", "PUT /appointments/deny/{id}",
        "PUT /appointments/no-show/{id}", "PUT /appointments/priority/{id}",
        "PUT /appointments/put-back/{id}",
        # A node that never met another has no conflicts.
        "GET /v1/conflicts/{id}", "POST /v1/conflicts/{id}/settlement",
        # Its reading may have been marked as an error before.
        "PATCH /v1/readings/{id}", "GET /v1/readings/{id}",
        "POST /v1/sessions", "POST /v1/sessions/refresh",
        # The few addresses and names of the dictionaries are in use by then, and made-up times lie in the future.
        "POST /v1/patients", "POST /v1/staff", "PATCH /v1/profile", "PUT /admin/mail/change",
        "POST /v1/patients/{id}/readings",
        "POST /v1/queue/places/{id}/decision", "PUT /v1/queue/places/{id}/priority",
    },
}  # fmt: skip


def check_that_it_proves_something(which, report, description):
    """A run in which every request was refused would find nothing either."""
    operations = {
        f"{method.upper()} {path}"
        for path, methods in description["paths"].items()
        for method in methods
    }
    operations -= NOT_ASKED
    assert report["operations"]["tested"] == len(operations)
    accepted = {
        operation
        for operation, phases in report["valid_rates"].items()
        if sum(phase["accepted"] for phase in phases.values()) > 0
    }
    assert operations - accepted <= NEVER_ACCEPTED[which]


@pytest.mark.parametrize("which", ["patient", "backoffice"])
def test_the_api_is_what_its_description_says(node, which, tmp_path, capsys):
    base, token = make_a_day(node)[which]
    code, output = schemathesis(base, token, tmp_path / "report.json")
    assert code == 0, output
    report = json.loads((tmp_path / "report.json").read_text())
    description = call(base, "GET", "/openapi.json")[1]
    check_that_it_proves_something(which, report, description)
    with capsys.disabled():
        cases, tested = report["test_cases"]["generated"], report["operations"]["tested"]
        print(f"{which}: {cases} requests to {tested} operations")

    # The node neither failed inside nor lost anything on the way.
    assert node.stop() == 0
    assert " ERROR " not in node.log() and "panicked" not in node.log(), node.log()
    assert "whole" in node.run("audit", "verify")
