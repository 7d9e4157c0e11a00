#!/usr/bin/env bash
# Runs the compiled modules under AddressSanitizer, UndefinedBehaviorSanitizer and valgrind:
#
#     tests/fuzz/sanitize.sh [MINUTES]
#
# First the tests of the wire and the fuzz tests, then run.py for MINUTES (10 unless given), then the tests of the wire
# in valgrind. Needs gcc, valgrind, pip and the packages of the dependency group "tests". PYTHON says which
# interpreter (python3 unless set). Everything is built in a temporary folder; the first finding ends it.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)
minutes=${1:-10}
python=$("${PYTHON:-python3}" -c 'import sys; print(sys.executable)')
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

section() { printf '\n=== %s (after %d s)\n' "$1" "$SECONDS"; }

build() { # the folder to install to
    rm -rf "$work/source"
    mkdir "$work/source"
    cp -r "$repository"/{anyws,pyproject.toml,README.md,LICENSE} "$work/source"
    "$python" -m pip install -q --no-deps --target "$1" "$work/source"
}

tests() { # more arguments for pytest; in one process
    (cd "$work" && "$@" -m pytest -c "$repository/pyproject.toml" --rootdir "$repository" -q -n 0 \
        --timeout 3000 "${paths[@]}")
}

section "building with AddressSanitizer and UndefinedBehaviorSanitizer"
flags="-fsanitize=address,undefined -fno-omit-frame-pointer -g"
CFLAGS=$flags LDFLAGS=$flags build "$work/sanitized"
for module in scan header payload; do
    # Without them nothing would ever be found.
    grep -q __asan_report "$work/sanitized/anyws/_wire/$module".*.so
    grep -q __ubsan_handle "$work/sanitized/anyws/_wire/$module".*.so
done
# Python's own allocator would hide what is beyond the end of a small object.
sanitized=(
    env "PYTHONPATH=$work/sanitized" PYTHONMALLOC=malloc
    "LD_PRELOAD=$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1
    "$python"
)

section "tests under the sanitizers"
paths=("$repository"/tests/{wire,fuzz} "$repository"/tests/core/test_{inbound,outbound,connection}.py)
tests "${sanitized[@]}"

section "fuzzing under the sanitizers for $minutes minutes"
(cd "$work" && "${sanitized[@]}" "$repository/tests/fuzz/run.py" --minutes "$minutes")

section "building for valgrind"
CFLAGS=-g build "$work/plain"

section "tests of the wire in valgrind"
paths=("$repository/tests/wire")
tests env "PYTHONPATH=$work/plain" PYTHONMALLOC=malloc valgrind --log-file="$work/valgrind.log" \
    --track-origins=yes --num-callers=40 --error-limit=no "$python"
# Python itself reads bytes that it has not set (int.from_bytes of 3.11 does), so of such readings only those count whose
# bytes are ours; whatever is read or written outside of any object counts, but for what glibc's wmemcmp does:
# it compares in whole vectors, beyond the end as well, and Python sorts strings with it.
sed 's/^==[0-9]*== \{0,1\}//' "$work/valgrind.log" | awk -v RS= '
    { blocks++ }
    /at 0x[0-9A-F]+: __wmemcmp_/ { next }
    /^(Invalid|Mismatched|Source and destination|Argument|Jump)/ { print; found++ }
    /Uninitialised value was created/ {
        if (substr($0, index($0, "Uninitialised value was created")) ~ /__pyx_[a-z_]*5anyws/) { print; found++ }
    }
    END { exit blocks == 0 || found > 0 }'
section "nothing was found"
