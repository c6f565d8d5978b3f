#!/usr/bin/env bash
# Installs what grading needs, as root, on Debian or Ubuntu; the second time it changes nothing.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
venv=/opt/malloc-observer-venv
export DEBIAN_FRONTEND=noninteractive

recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

if [ ! -x "$venv/bin/python" ]; then
    apt-get update -q
    apt-get install -qy --no-install-recommends ca-certificates gcc libc6-dev python3 python3-venv util-linux
    python=python3
    for newer in python3.11 python3.12 python3.13; do
        recent "$python" && break
        if apt-get install -qy --no-install-recommends "$newer" "$newer-venv"; then python=$newer; fi
    done
    recent "$python" || { echo "no Python 3.11 or newer is to be had here" >&2; exit 1; }
    "$python" -m venv "$venv"
fi
"$venv/bin/pip" install -q -r "$here/requirements.txt"
