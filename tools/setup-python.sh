#!/usr/bin/env bash
# Makes the Python environment of the tests in .venv: exactly what tests/requirements.txt says.
# Does nothing when that is what is there.
set -euo pipefail
cd "$(dirname "$0")/.."

wanted=$(sha256sum < tests/requirements.txt)
if [ -f .venv/requirements.sha256 ] && [ "$(cat .venv/requirements.sha256)" = "$wanted" ]; then
  exit 0
fi
echo "Making .venv"
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/requirements.txt
echo "$wanted" > .venv/requirements.sha256
