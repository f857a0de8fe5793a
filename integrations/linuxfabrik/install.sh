#!/usr/bin/env bash
# Puts this check's folder in the place of the one of the same name in a checkout of the collection,
# and takes it back.
#
#     install.sh CHECKOUT           the other folder is kept in check-plugins/.network-connections.before
#     install.sh --undo CHECKOUT
set -euo pipefail

usage() {
    sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
    exit 3
}

undo=
if [ "${1-}" = --undo ]; then
    undo=1
    shift
fi
[ "$#" = 1 ] || usage
ours=$(cd "$(dirname "$0")" && pwd)/network-connections
plugins=$1/check-plugins
theirs=$plugins/network-connections
before=$plugins/.network-connections.before
[ -d "$theirs" ] || { echo "$1 is no checkout of the collection: it has no check-plugins/network-connections" >&2; exit 3; }

if [ -n "$undo" ]; then
    [ -d "$before" ] || { echo "nothing to take back: $before is not there" >&2; exit 3; }
    rm -r "$theirs"
    mv "$before" "$theirs"
else
    [ ! -e "$before" ] || { echo "installed already: $before is there" >&2; exit 3; }
    cp -a "$theirs" "$before"
    # What is theirs alone stays.
    cp -r "$ours/." "$theirs"
fi
