#!/bin/sh
# build.sh DIRECTORY: makes the layer there, for the Python that functions find at /usr/bin/python3.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
version=$(/usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
mkdir -p "$1/python"
python3 -m pip install --quiet --disable-pip-version-check --requirement "$here/requirements.txt" \
    --target "$1/python" --python-version "$version" --only-binary :all:
install -m 755 "$here/bootstrap" "$1/bootstrap"
