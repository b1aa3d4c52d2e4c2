"""The pages of a node in a real browser: they render, ask no other host for anything, and report
no error. The form for a new password works from end to end with a code of the desk."""

import json
import shutil
import tempfile
from urllib.parse import urlsplit

import pytest
from node import ADMIN, PATIENT, Node, call, log_in
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1000,1400", "--lang=es",
]  # fmt: skip
WAIT_S = 20
NEW_PASSWORD = "tornillo-nube-94"


@pytest.fixture
def node():
    node = Node()
    yield node
    node.remove()


@pytest.fixture
def browser():
    profile = tempfile.mkdtemp(prefix="islet-browser-")
    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    browser.set_page_load_timeout(WAIT_S)
    # The browser's own start page is not what is tested.
    browser.get("about:blank")
    forget(browser)
    yield browser
    browser.quit()
    shutil.rmtree(profile, ignore_errors=True)


def asked_for(browser):
    """The addresses that the browser asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [message for message in messages if message["method"] == "Network.requestWillBeSent"]
    return [message["params"]["request"]["url"] for message in sent]


def forget(browser):
    """Whatever was noted so far is not looked at."""
    browser.get_log("performance")
    browser.get_log("browser")


def check_quiet(browser, base):
    """Only this node was asked, for something, and nothing went wrong on the page."""
    urls = [url for url in asked_for(browser) if not url.startswith(("data:", "about:"))]
    assert any(url.startswith(base) for url in urls), urls
    foreign = [url for url in urls if urlsplit(url).netloc != urlsplit(base).netloc]
    assert foreign == []
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    # Browsers ask for an icon by themselves.
    assert [entry for entry in errors if "/favicon.ico" not in entry["message"]] == []


def wait_for(browser, selector):
    found = lambda driver: driver.find_elements(By.CSS_SELECTOR, selector)  # noqa: E731
    return WebDriverWait(browser, WAIT_S).until(found)


def test_a_request_to_another_host_is_noticed(node, browser):
    browser.get(f"{node.patient_url}/ca")
    check_quiet(browser, node.patient_url)
    # Nobody listens there, and it is another origin all the same.
    browser.get("data:text/html,<img src='http://127.0.0.1:9/x.png'>")
    browser.get(f"{node.patient_url}/ca")
    with pytest.raises(AssertionError):
        check_quiet(browser, node.patient_url)


@pytest.mark.parametrize("port", ["patient", "backoffice"])
def test_docs_list_every_route(node, browser, port):
    base = node.patient_url if port == "patient" else node.backoffice_url
    browser.get(f"{base}/docs")
    wait_for(browser, ".opblock")
    shown = {
        element.get_attribute("data-path")
        for element in browser.find_elements(By.CSS_SELECTOR, ".opblock-summary-path")
    }
    assert shown == set(call(base, "GET", "/openapi.json")[1]["paths"])
    check_quiet(browser, base)


def test_the_certificate_page_shows_the_fingerprint(node, browser):
    browser.get(f"{node.patient_url}/ca")
    groups = [element.text for element in wait_for(browser, ".fingerprint li")]
    fingerprint = ":".join(groups)
    assert len(fingerprint) == 32 * 3 - 1
    # The same that the node prints when it is ready.
    assert fingerprint in node.ready
    # The style was applied, so the policy lets the page have what it needs.
    card = browser.find_element(By.CSS_SELECTOR, ".card")
    assert card.value_of_css_property("padding-left") != "0px"
    browser.find_elements(By.TAG_NAME, "summary")[0].click()
    assert browser.find_element(By.CSS_SELECTOR, "details[open] a.button").is_displayed()
    check_quiet(browser, node.patient_url)


def fill(browser, code, password, repeated):
    for name, value in [
        ("token", code), ("new_password", password), ("repeated_password", repeated),
    ]:  # fmt: skip
        field = wait_for(browser, f"#{name}")[0]
        field.clear()
        field.send_keys(value)
    browser.find_element(By.CSS_SELECTOR, "button[type=submit]").click()


def test_a_new_password_with_a_code_of_the_desk(node, browser):
    base, admin = node.patient_url, log_in(node.backoffice_url, ADMIN)
    users = call(node.backoffice_url, "GET", "/users/", admin)[1]
    user_id = next(user["user_id"] for user in users if user["dni"] == PATIENT[0])
    path = f"/users/desk-code/{user_id}"
    status, made = call(node.backoffice_url, "POST", path, admin)
    assert status in (200, 201), made
    session = log_in(base, PATIENT)

    browser.get(f"{base}/reset-password")
    fill(browser, made["code"], NEW_PASSWORD, "something else")
    assert "no son iguales" in wait_for(browser, ".problem")[0].text
    fill(browser, "2222222222", NEW_PASSWORD, NEW_PASSWORD)
    assert "no es válido" in wait_for(browser, ".problem")[0].text
    # A refused form answers 400, which the browser notes; everything after it must be clean.
    forget(browser)

    # From a fresh page, with the code as people type it.
    browser.get(f"{base}/reset-password?token={made['code'].lower()}")
    assert wait_for(browser, "#token")[0].get_attribute("value") == made["code"].lower()
    fill(browser, made["code"].lower(), NEW_PASSWORD, NEW_PASSWORD)
    assert "fue cambiada" in wait_for(browser, ".done")[0].text
    check_quiet(browser, base)

    form = {"username": PATIENT[0], "password": PATIENT[1]}
    assert call(base, "POST", "/token", form=form)[0] == 401
    assert log_in(base, (PATIENT[0], NEW_PASSWORD))
    assert call(base, "GET", "/users/me", session)[0] == 401, "old sessions end"
    again = {"token": made["code"], "new_password": "another-password-9"}
    assert call(base, "POST", "/reset-password", body=again)[0] == 400, "a code works once"
