#!/bin/sh
# Puts this check's folder in the place of the one of the same name in a checkout of the collection,
# and takes it back.
#
#     install.sh CHECKOUT           the other folder is kept in check-plugins/.network-connections.before
#     install.sh --undo CHECKOUT
set -u
unset CDPATH

usage() {
    sed -n '2,6s/^# \{0,1\}//p' <"$0" >&2
    exit 3
}

fail() {
    printf '%s\n' "$1" >&2
    exit 3
}

exists() {
    [ -e "$1" ] || [ -h "$1" ]
}

# Of this directory itself, and of no user but root: nobody else can put a link or another directory there.
is_of_root() {
    [ "$(find "$1" -prune -type d -user 0 \( ! -perm -002 ! -perm -020 -o ! -perm -002 -group 0 -o -perm -1000 \) \
        -exec printf root ';')" = root ]
}

# Whoever owns a directory chooses the files that root writes there.
refuse_others() {
    [ "$(id -u)" = 0 ] || return 0
    path=$(cd -P -- "$plugins" && pwd -P && echo .) || fail "cannot enter $plugins"
    path=${path%??}
    while :; do
        is_of_root "${path:-/}" || fail "${path:-/} belongs to another user, or others may write there: run this as its owner"
        [ -n "$path" ] || break
        path=${path%/*}
    done
    for folder in "$theirs" "$before"; do
        [ -d "$folder" ] || continue
        others=$(find "$folder/" \( ! -user 0 -o -type d -perm -002 -o -type d -perm -020 ! -group 0 \) \
            -exec printf x ';' && echo .) || others=
        [ "$others" = . ] || fail "$folder has files of another user: run this as their owner"
    done
}

# Makes the folder in which everything is prepared: nothing but a rename touches the checkout's own.
prepare() {
    refuse_others
    trap '' HUP INT TERM
    mkdir "$work" || fail "cannot make $work (remove it where another run was cut off)"
    trap clean EXIT
    trap 'exit 3' HUP INT TERM
}

clean() {
    code=$?
    rm -rf "$work" || fail "cannot remove $work"
    exit "$code"
}

# The names of all entries of a folder, and the sums of its files.
contents() {
    names=$(cd "$1" && find . ! -type f && find . -type f -exec cksum {} +) || return 1
    printf '%s\n' "$names" | LC_ALL=C sort
}

# Moves a folder to a name that does not exist, whole or not at all: between file systems mv copies,
# and may fail half way. If it fails while it removes the source, the new name stays.
move() {
    wanted=$(contents "$1") || return 1
    mv "$1" "$2" && return
    if [ "$(contents "$1")" = "$wanted" ]; then
        rm -rf "$2"
    fi
    return 1
}

# Copies this check's files into a folder. A link there is replaced; its target is not written to.
add_ours() {
    names=$(cd "$ours" && find . ! -name .) || return 1
    printf '%s\n' "$names" | while IFS= read -r name; do
        from=$ours/$name
        to=$1/$name
        if [ ! -d "$from" ]; then
            rm -rf "$to" && cp "$from" "$to" && cmp "$from" "$to" || exit 1
        elif [ -h "$to" ] || [ ! -d "$to" ]; then
            rm -rf "$to" && mkdir "$to" || exit 1
        fi
    done
}

install() {
    exists "$before" && fail "installed already: $before is there (--undo takes it back)"
    [ -d "$theirs" ] ||
        fail "$checkout is no checkout of the collection: it has no check-plugins/network-connections"
    prepare
    # What is theirs alone stays.
    cp -RPp "$theirs/." "$work/new" || fail "cannot copy $theirs: it stays as it is"
    found=$(contents "$theirs") && copied=$(contents "$work/new") && [ "$found" = "$copied" ] ||
        fail "the copy of $theirs is not the same: it stays as it is"
    add_ours "$work/new" || fail "cannot copy $ours: $theirs stays as it is"
    trap '' HUP INT TERM
    move "$theirs" "$before" || fail "cannot move $theirs to $before"
    move "$work/new" "$theirs" && return
    exists "$theirs" || move "$before" "$theirs" || fail "cannot move $before back to $theirs"
    fail "cannot move $work/new to $theirs"
}

undo() {
    [ -d "$before" ] || fail "nothing to take back: $before is not there"
    prepare
    trap '' HUP INT TERM
    if exists "$theirs"; then
        mv "$theirs" "$work/ours" || fail "cannot move $theirs away: $before stays as it is"
    fi
    move "$before" "$theirs" && return
    exists "$theirs" || ! exists "$work/ours" || mv "$work/ours" "$theirs"
    fail "cannot move $before to $theirs"
}

step=install
if [ "$#" = 2 ] && [ "$1" = --undo ]; then
    step=undo
    shift
fi
[ "$#" = 1 ] || usage
case $1 in
    '' | --undo | --help | -h) usage ;;
    -*) checkout=./$1 ;;
    *) checkout=$1 ;;
esac
ours=$(cd -- "$(dirname -- "$0")" && pwd)/network-connections
[ -d "$ours" ] || fail "$ours is not there"
plugins=$checkout/check-plugins
theirs=$plugins/network-connections
before=$plugins/.network-connections.before
work=$plugins/.network-connections.work
"$step"
