#!/bin/sh
# Make the virtual environment $1 with the python $2 (default: the first of python3, python3.13 … that is new
# enough). Debian and Ubuntu split `ensurepip` off into python3-venv: where it is missing, the system's pip puts
# a pip into the environment instead.
set -eu
folder=$1
root=$(cd "$(dirname "$0")/.." && pwd)

new_enough() { command -v "$1" >/dev/null 2>&1 && "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
python=
for candidate in ${2:-python3 python3.13 python3.12 python3.11}; do
    if new_enough "$candidate"; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
    echo "Tipoff needs Python 3.11 or newer. Install it, or name one: make PYTHON=/path/to/python3.12" >&2
    exit 1
fi

if "$folder/bin/python" -m pip --version >/dev/null 2>&1; then exit 0; fi
rm -rf "$folder"
if "$python" -m venv "$folder" >/dev/null 2>&1; then exit 0; fi
rm -rf "$folder"
if "$python" -m venv --without-pip "$folder" >/dev/null 2>&1 &&
    "$python" -m pip --python "$folder/bin/python" install --quiet --require-hashes -r "$root/requirements/pip.txt"; then
    exit 0
fi
rm -rf "$folder"
if "$python" -m virtualenv --quiet "$folder" >/dev/null 2>&1; then exit 0; fi
rm -rf "$folder"
echo "$python cannot make a virtual environment. On Debian or Ubuntu: apt install python3-venv" >&2
exit 1
