#!/usr/bin/env bash
# Installs the Debian packages that a target of the Makefile needs, when they are missing.
#
#   tools/setup-debian.sh demo|test|lab
#
# Each is looked for by a command that it brings. Nothing is touched when all are there. Who is not
# root is told what to install.
set -euo pipefail

demo=(cc:gcc make:make)
lab=("${demo[@]}" strace:strace mkfs.ext4:e2fsprogs mount:mount losetup:mount
  qemu-storage-daemon:qemu-utils python3:python3)
test=("${lab[@]}" curl:curl openssl:openssl chromium:chromium chromedriver:chromium-driver)

case "${1:-}" in
  demo) wanted=("${demo[@]}") ;;
  test) wanted=("${test[@]}") ;;
  lab) wanted=("${lab[@]}") ;;
  *) echo "usage: $0 demo|test|lab" >&2; exit 2 ;;
esac

# mkfs.ext4 and the like are outside the path of ordinary users.
PATH="$PATH:/usr/sbin:/sbin"
missing=()
for pair in "${wanted[@]}"; do
  command -v "${pair%%:*}" > /dev/null || missing+=("${pair#*:}")
done
if [[ " ${wanted[*]} " == *" python3:python3 "* ]] && ! python3 -c 'import ensurepip' 2> /dev/null; then
  missing+=(python3-venv)
fi

if ! command -v cargo > /dev/null; then
  echo "There is no Rust toolchain. Install Rust 1.95 or newer (rustup), then try again." >&2
  exit 1
fi
if [ ${#missing[@]} -eq 0 ]; then
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "Missing: ${missing[*]} (names of Debian packages). Install them, then try again." >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "Missing: ${missing[*]}. Install them, then try again:" >&2
  echo "  sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
echo "Installing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
