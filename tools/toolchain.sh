#!/usr/bin/env bash
# Sets up what builds and runs the command for other platforms, where no Rust toolchain for them can
# be downloaded: Debian's rustc-web with std built from its sources, zig as the linker, Wine and
# qemu as the runners.
#
#     tools/toolchain.sh [TARGET...]      without TARGET: all of them
#
# Everything but Debian's packages goes below $TOOLCHAINS (target/toolchains) and stays there; a
# second run does nothing unless the package index has another version. Afterwards
# $TOOLCHAINS/cargo is a cargo that knows these targets, how to link them and how to run them, and
# $TOOLCHAINS/zig/bin has cargo-zigbuild for glibc 2.17, which the installed Rust knows.
set -euo pipefail
cd "$(dirname "$0")/.."

windows=x86_64-pc-windows-gnu
glibc=x86_64-unknown-linux-gnu.2.17
# That for wheels is no platform of the command.
all=("$windows" "$glibc" {x86_64,aarch64,s390x}-unknown-linux-musl armv7-unknown-linux-musleabihf)
targets=("$@")
[ "$#" -gt 0 ] || targets=("${all[@]}")

mkdir -p "${TOOLCHAINS:=target/toolchains}"
toolchains=$(cd "$TOOLCHAINS" && pwd)
# Clones share it, and may come at once.
exec 9>"$toolchains/lock"
flock 9
wine=/usr/lib/wine/wine64
prefix=$toolchains/wineprefix
zig=$toolchains/zig

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

die() {
    say "$@"
    exit 1
}

wants() {
    local target
    for target in "${targets[@]}"; do
        # shellcheck disable=SC2053 # a pattern
        [[ $target != $1 ]] || return 0
    done
    return 1
}

# The version of a package in the index; empty where it has none.
candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: \([^(].*\)/\1/p'
}

install_packages() {
    local package missing=()
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || die "please install as root: ${missing[*]}"
    say "installing ${missing[*]}"
    DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends -y "${missing[@]}" >/dev/null
}

# Debian's rustc, unpacked rather than installed: it may not stand beside another.
unpack_rustc() {
    local version=$1 root=$2 std llvm debs
    say "unpacking rustc $version"
    dependency() { apt-cache depends "$1" | sed -n "s/^ *Depends: \($2\)$/\1/p"; }
    std=$(dependency libstd-rust-web-dev 'libstd-rust-web-[0-9.]*')
    llvm=$(dependency "$std" 'libllvm[0-9]*')
    debs=$(mktemp -d "$toolchains/debs.XXXXXX")
    (cd "$debs" && apt-get download -qq -o APT::Sandbox::User=root \
        rustc-web rust-web-src rust-web-clippy libstd-rust-web-dev "$std" "$llvm")
    rm -rf "$root"
    mkdir -p "$root.new/bin"
    for deb in "$debs"/*.deb; do
        dpkg -x "$deb" "$root.new"
    done
    rm -rf "$debs"
    for tool in rustc clippy-driver; do
        cat >"$root.new/bin/$tool" <<END
#!/bin/sh
LD_LIBRARY_PATH='$root/usr/lib/x86_64-linux-gnu' exec '$root/usr/bin/$tool' "\$@"
END
        chmod +x "$root.new/bin/$tool"
    done
    mv "$root.new" "$root"
}

# So that no path of the machine that builds is in what it builds.
remap() {
    printf -- '--remap-path-prefix=%s=/rustc --remap-path-prefix=%s=/cargo' \
        "$1/usr/lib/rustlib/src/rust" "${CARGO_HOME:-$HOME/.cargo}/registry/src"
}

# std for one target, into the sysroot of the unpacked rustc.
build_std() {
    local target=$1 root=$2 lib crate
    lib=$root/usr/lib/rustlib/$target/lib
    [ ! -d "$lib" ] || return 0
    say "building std for $target"
    crate=$(mktemp -d "$toolchains/std.XXXXXX")
    mkdir "$crate/src"
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n' >"$crate/Cargo.toml"
    : >"$crate/src/lib.rs"
    # Without embed-bitcode a crate with LTO does not link against this std.
    (cd "$crate" && RUSTC=$root/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="-C embed-bitcode=yes $(remap "$root")" \
        CARGO_TARGET_DIR=$crate/target cargo build --quiet --release \
        -Z build-std=std,panic_unwind,panic_abort,proc_macro,test --target "$target")
    rm -f "$crate/target/$target/release/deps/"libempty-*
    mkdir -p "$lib.new"
    cp "$crate/target/$target/release/deps/"*.rlib "$lib.new"
    mv "$lib.new" "$lib"
    rm -rf "$crate"
}

# The linker for all but Windows, from PyPI; one version, so that another day builds the same bytes.
install_zig() {
    [ ! -e "$zig/.installed" ] || return 0
    say "installing cargo-zigbuild and zig"
    rm -rf "$zig"
    python3 -m venv "$zig"
    "$zig/bin/python" -m pip install --quiet cargo-zigbuild==0.24.1 ziglang==0.17.1
    touch "$zig/.installed"
}

# A Wine prefix with the DLL that Rust's std needs and Wine 8 lacks.
make_prefix() {
    local system32=$prefix/drive_c/windows/system32
    if [ ! -d "$system32" ]; then
        say "making the Wine prefix"
        rm -rf "$prefix" "$prefix.new"
        # What it leaves running has no part in the lock.
        WINEPREFIX=$prefix.new "$toolchains/run-$windows" wineboot -i 9>&-
        WINEPREFIX=$prefix.new "${wine%/*}/wineserver64" -w
        mv "$prefix.new" "$prefix"
    fi
    [ -e "$system32/bcryptprimitives.dll" ] ||
        x86_64-w64-mingw32-gcc -O2 -Wall -shared -s -o "$system32/bcryptprimitives.dll" \
            tools/bcryptprimitives.c
}

write() {
    cat >"$1.new"
    chmod +x "$1.new"
    mv "$1.new" "$1"
}

packages=()
! wants '*-windows-*' || packages+=(gcc-mingw-w64-x86-64-win32 wine64)
! wants 'a*-linux-*' && ! wants 's390x-*' || packages+=(qemu-user)
! wants '*-linux-*' || packages+=(python3-venv)
if [ -z "$(candidate rustc-web)" ]; then
    [ "$(id -u)" = 0 ] || die "the package index has no rustc-web (apt-get update)"
    apt-get update -qq
fi
version=$(candidate rustc-web)
[ -n "$version" ] || die "the package index has no rustc-web"
[ "${#packages[@]}" = 0 ] || install_packages "${packages[@]}"

# The number changes with how std is built.
root=$toolchains/rustc-$version-2
for target in "${targets[@]}"; do
    [ "$target" != "$glibc" ] || continue
    [ -d "$root" ] || unpack_rustc "$version" "$root"
    build_std "$target" "$root"
done
for old in "$toolchains"/rustc-*; do
    [ "$old" = "$root" ] || rm -rf "$old"
done

! wants '*-linux-*' || install_zig

write "$toolchains/run-$windows" <<END
#!/bin/sh
# Runs a Windows program: no display, no messages of Wine's own. "--stop" ends what Wine left
# running, which would go on to see the network namespace that it was started in.
unset DISPLAY
export WINEPREFIX="\${WINEPREFIX:-$prefix}" WINEARCH=win64 WINEDEBUG="\${WINEDEBUG:--all}"
if [ "\$1" = --stop ]; then
    ${wine%/*}/wineserver64 -k
    exec ${wine%/*}/wineserver64 -w
fi
exec $wine "\$@"
END
write "$toolchains/link-$windows" <<'END'
#!/bin/sh
# Links a Windows program. ld sorts what is imported by the paths of the libraries, so that those of
# this build must not depend on where it is.
here=$PWD/
for argument; do
    shift
    set -- "$@" "${argument#"$here"}"
done
exec x86_64-w64-mingw32-gcc "$@"
END
write "$toolchains/cargo" <<END
#!/bin/sh
# cargo for the targets of tools/toolchain.sh; "cargo zig COMMAND" lets zig link, and "cargo clippy"
# denies warnings.
export PATH="$zig/bin:\$PATH" RUSTC="$root/bin/rustc"
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER="$toolchains/run-$windows"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER=qemu-aarch64
export CARGO_TARGET_S390X_UNKNOWN_LINUX_MUSL_RUNNER=qemu-s390x
export CARGO_TARGET_ARMV7_UNKNOWN_LINUX_MUSLEABIHF_RUNNER=qemu-arm
# zig has the start files and libraries, this std has none.
remap="$(remap "$root") --remap-path-prefix=\${CARGO_TARGET_DIR:-\$PWD/target}=/target"
static="-C link-self-contained=no -C target-feature=+crt-static \$remap"
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER="$toolchains/link-$windows"
# When it was linked is nothing that a program has to have in it.
export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUSTFLAGS="\$remap -C link-arg=-Wl,--no-insert-timestamp"
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="\$static"
export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUSTFLAGS="\$static"
export CARGO_TARGET_S390X_UNKNOWN_LINUX_MUSL_RUSTFLAGS="\$static"
export CARGO_TARGET_ARMV7_UNKNOWN_LINUX_MUSLEABIHF_RUSTFLAGS="\$static"
case "\$1" in
    # What keeps the paths of this machine out of whatever else is compiled.
    --remap) exec echo "\$remap" ;;
    zig) shift && exec cargo-zigbuild "\$@" ;;
    # As cargo-clippy does it, which would take the clippy of the installed Rust.
    clippy)
        shift
        export RUSTC_WORKSPACE_WRAPPER="$root/bin/clippy-driver" CLIPPY_ARGS=-Dwarnings__CLIPPY_HACKERY__
        exec cargo check "\$@"
        ;;
esac
exec cargo "\$@"
END
! wants '*-windows-*' || make_prefix
