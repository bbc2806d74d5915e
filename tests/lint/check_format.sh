#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Every C file is as clang-format 14 writes it (another version would differ on details).
#   check_format.sh TREE
set -eu

[ $# -eq 1 ] && [ -d "$1" ] || {
    echo "usage: $0 TREE" >&2
    exit 2
}
cd "$1"
format=clang-format-14
command -v $format >/dev/null || {
    echo "$format is not installed: deploy/install-deps" >&2
    exit 1
}
[ -f .clang-format ] || {
    echo "no .clang-format in $1" >&2
    exit 1
}
list=$(mktemp)
trap 'rm -f "$list"' EXIT
find . -path './build*' -prune -o -path ./.git -prune -o -type f \( -name '*.c' -o -name '*.h' \) -print0 >"$list"
count=$(tr -dc '\0' <"$list" | wc -c)
[ "$count" -gt 0 ] || {
    echo "format: found nothing to check"
    exit 2
}
xargs -0 -P "$(nproc)" -n 24 $format --dry-run -Werror --style=file <"$list" || {
    echo "format: run clang-format-14 -i on these"
    exit 1
}
echo "format: $count files"
