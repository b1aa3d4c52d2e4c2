#!/usr/bin/env python3
"""Counts what the parts of `make test` really did, from what they printed.

    tools/summary.py          a table of the parts, and the skipped tests by name
    tools/summary.py --line   only `N passed, N failed, N skipped`

Reads target/test-results/ (tools/test.sh writes it) and target/skipped-tests.txt, to which a test
that the machine does not allow appends `name: reason`. The test runner of Rust counts such a test
as passed; here it is skipped. A part that failed without a failed test (it did not build, or was
stopped) counts as one failure. Exit status 1 when anything failed.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "target" / "test-results"
CARGO = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", re.MULTILINE)
IGNORED = re.compile(r"^test (\S+) \.\.\. ignored(?:, (.*))?$", re.MULTILINE)


class Part:
    """What one part did."""

    def __init__(self, name, status):
        self.name, self.status = name, status
        self.passed = self.failed = 0
        self.skipped = []

    def read_cargo(self, log):
        for passed, failed, _ in CARGO.findall(log):
            self.passed += int(passed)
            self.failed += int(failed)
        self.skipped += [f"{name}: {why or 'ignored'}" for name, why in IGNORED.findall(log)]

    def read_junit(self, path):
        for case in ElementTree.parse(path).iter("testcase"):
            skipped = case.find("skipped")
            if skipped is not None:
                self.skipped.append(f"{case.get('name')}: {skipped.get('message')}")
            elif case.find("failure") is not None or case.find("error") is not None:
                self.failed += 1
            else:
                self.passed += 1

    def close(self):
        if self.status != 0 and self.failed == 0:
            self.failed = 1


def read_parts():
    parts = []
    exits = sorted(RESULTS.glob("*.exit"), key=lambda path: path.stat().st_mtime)
    for path in exits:
        part = Part(path.stem, int(path.read_text()))
        log, junit = path.with_suffix(".log"), path.with_suffix(".xml")
        if junit.exists():
            part.read_junit(junit)
        elif log.exists():
            part.read_cargo(log.read_text(errors="replace"))
        if part.name == "rust":
            listed = ROOT / "target" / "skipped-tests.txt"
            lines = listed.read_text().splitlines() if listed.exists() else []
            lines = sorted({line for line in lines if line.strip()})
            part.passed -= len(lines)
            part.skipped += lines
        part.close()
        parts.append(part)
    return parts


def main():
    parts = read_parts()
    passed = sum(part.passed for part in parts)
    failed = sum(part.failed for part in parts)
    skipped = sum(len(part.skipped) for part in parts)
    if not parts:
        failed = 1
    if "--line" in sys.argv[1:]:
        print(f"{passed} passed, {failed} failed, {skipped} skipped")
        return int(failed > 0)
    print()
    for part in parts:
        word = "FAILED" if part.failed else "ok"
        counts = f"{part.passed:5} passed {part.failed:3} failed {len(part.skipped):3} skipped"
        print(f"{part.name:14} {word:6} {counts}")
    for part in parts:
        for line in part.skipped:
            print(f"skipped: {part.name}: {line}")
    return int(failed > 0)


sys.exit(main())
