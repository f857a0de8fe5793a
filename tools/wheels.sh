#!/usr/bin/env bash
# Builds the wheels for Linux and the source distribution into dist/, with the compilers and the linker
# of tools/toolchain.sh: one wheel of the stable ABI per C library and processor, for every CPython from
# 3.9 up. Two builds of one commit have the same bytes.
#
#     tools/wheels.sh [DIRECTORY]
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(mkdir -p "${1:-dist}" && cd "${1:-dist}" && pwd)
targets=(x86_64-unknown-linux-gnu aarch64-unknown-linux-gnu x86_64-unknown-linux-musl aarch64-unknown-linux-musl)
tools/toolchain.sh "${targets[@]}"
toolchains=$(cd "${TOOLCHAINS:-target/toolchains}" && pwd)
python=$PWD/.venv/bin/python maturin=$PWD/.venv/bin/maturin
PATH=$toolchains/zig/bin:$PATH
RUSTC=$(echo "$toolchains"/rustc-*/bin/rustc)
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export PATH RUSTC SOURCE_DATE_EPOCH

remap=$("$toolchains/cargo" --remap)
# Maturin's own names the directory that it was built in.
mkdir -p target/wheel-sbom
sbom=target/wheel-sbom/network-connections.cdx.json
for target in "${targets[@]}"; do
    case $target in
        *-gnu) tag=manylinux2014 flags=$remap ;;
        # A module of Python's is linked dynamically, also where commands are static.
        *-musl) tag=musllinux_1_2 flags="-C link-self-contained=no -C target-feature=-crt-static $remap" ;;
    esac
    "$python" tools/sbom.py "$sbom" --features=python --target="$target"
    RUSTFLAGS=$flags "$maturin" build --quiet --release --locked --zig --compatibility "$tag" \
        --target "$target" --sbom-include "$sbom" --out "$out"
done
"$maturin" sdist --out "$out" >/dev/null
