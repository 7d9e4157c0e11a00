#!/usr/bin/env bash
# Installs Autobahn|Testsuite, which needs CPython 2.7 and a C compiler, into the directory $1.
set -euo pipefail
venv=$1
[ -x "$venv/bin/wstest" ] && exit 0
python=${PYTHON27:-$(ls "${PYENV_ROOT:-$HOME/.pyenv}"/versions/2.7.*/bin/python 2>/dev/null | head -n 1)}
python=${python:-$(command -v python2.7 || true)}
if [ -z "$python" ]; then
    echo "NOT TESTED: Autobahn|Testsuite needs CPython 2.7, and there is none (PYTHON27 may name it)" >&2
    [ -z "${ANYWS_REQUIRE_AUTOBAHN:-}" ]
    exit
fi
boot=$(mktemp -d)
trap 'rm -rf "$boot"' EXIT
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONWARNINGS=ignore
unset PYTHONPATH PYTHONDEVMODE
# The last virtualenv that makes environments for Python 2.7.
"$python" -m pip install -q --target "$boot" 'virtualenv<20.16' 2>&1 | grep -v "^ *WARNING: Url" >&2 || true
PYTHONPATH=$boot "$python" -m virtualenv -q "$venv"
"$venv/bin/pip" install -q autobahntestsuite==25.10.1 2>&1 | grep -v "^ *WARNING: Url" >&2 || [ -x "$venv/bin/wstest" ]
