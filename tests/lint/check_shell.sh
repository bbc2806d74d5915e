#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Runs shellcheck over every script with a shell in its first line.
#   check_shell.sh TREE
set -eu

[ $# -eq 1 ] && [ -d "$1" ] || {
    echo "usage: $0 TREE" >&2
    exit 2
}
cd "$1"
command -v shellcheck >/dev/null || {
    echo "shellcheck is not installed: deploy/install-deps" >&2
    exit 1
}
list=$(mktemp)
trap 'rm -f "$list"' EXIT
find . -path './build*' -prune -o -path ./.git -prune -o -path ./tests/fuzz/corpus -prune -o \
    -type f -size -512k -exec grep -lIE -m1 '^#! ?/(usr/)?bin/(env )?(ba|da)?sh( |$)' {} + >"$list" || true
# grep looks at every line; what counts is the first.
count=0
bad=0
while IFS= read -r file; do
    head -n 1 "$file" | grep -qE '^#! ?/(usr/)?bin/(env )?(ba|da)?sh( |$)' || continue
    count=$((count + 1))
    shellcheck -x -S warning "$file" || bad=$((bad + 1))
done <"$list"
[ "$count" -gt 0 ] || {
    echo "shell: found nothing to check"
    exit 2
}
echo "shell: $count scripts, $bad with findings"
[ "$bad" -eq 0 ]
