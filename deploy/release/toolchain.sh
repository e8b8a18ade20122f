# shellcheck shell=bash
# Compilers for the released binaries. Sourced by deploy/release/build after tests/tools.sh.

declare -A triples=([amd64]=x86_64-unknown-linux-gnu [arm64]=aarch64-unknown-linux-gnu)
declare -A gnu=([amd64]=x86_64-linux-gnu [arm64]=aarch64-linux-gnu)

# has_library ARCH...: the Rust compiler has the standard library of these architectures.
has_library() {
    local arch
    for arch in "$@"; do
        compgen -G "$("$rustc" --print target-libdir --target "${triples[$arch]}")/libstd-*.rlib" >/dev/null ||
            return 1
    done
}

# can_link PROGRAM: the C compiler can link static programs.
can_link() { printf 'int main(void) { return 0; }' | "$1" -x c -static -o /dev/null - 2>/dev/null; }

# Sets cc and ar for ARCH: installed programs, or those that provide_debian has unpacked.
find_c_compiler() {
    local prefix=${gnu[$1]}-
    if [[ ${triples[$1]} == "$host" ]]; then prefix=; fi
    for cc in "${prefix}gcc" "${prefix}cc" "$debian/wrappers/${prefix}gcc"; do
        ar=${cc%/*}/${prefix}ar
        [[ $cc == */* ]] || ar=${prefix}ar
        if has "$cc" && has "$ar" && can_link "$cc"; then return; fi
    done
    return 1
}

# Debian 12 has a recent Rust compiler among its security updates, for its browsers: with the standard library of every
# architecture. It and a cross compiler are unpacked into the target folder.
debian=$tools/cross
provide_debian() {
    local architectures=amd64,arm64 dependencies
    [[ $(uname -m) == x86_64 ]] && has dpkg || return 1
    # Everything but what belongs to the machine's own C library.
    dependencies='libstd-rust-web-[0-9.]+(:arm64)?|[^ ]+-(aarch64-linux-gnu|arm64-cross|cross)(-base)?|binutils-common'
    dependencies+='|lib(LLVM|llvm|z3-|xml|icu|edit|bsd|md|binutils|jansson|ctf|gprofng|isl|mpc|mpfr|gmp|zstd|tinfo|lzma)[^:]*'
    unpack 'bookworm bookworm-security' "$debian" rustc-web libstd-rust-web-dev libstd-rust-web-dev:arm64 \
        gcc-12-aarch64-linux-gnu libc6-dev-arm64-cross || return 1
    mkdir -p "$debian/wrappers"
    wrap rustc rustc
    wrap aarch64-linux-gnu-ar aarch64-linux-gnu-ar
    wrap aarch64-linux-gnu-gcc aarch64-linux-gnu-gcc-12 "--sysroot=$debian" "-B$debian/usr/bin/aarch64-linux-gnu-" \
        -isystem "$debian/usr/aarch64-linux-gnu/include" "-L$debian/usr/aarch64-linux-gnu/lib"
    "$debian/wrappers/rustc" --version && can_link "$debian/wrappers/aarch64-linux-gnu-gcc"
}

# wrap NAME PROGRAM ARGUMENT...: the unpacked program finds its libraries and gets these arguments first.
wrap() {
    local name=$1 program=$2
    shift 2
    {
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q' "$debian/usr/lib/x86_64-linux-gnu" "$debian/usr/bin/$program"
        (($# == 0)) || printf ' %q' "$@"
        printf ' "$@"\n'
    } >"$debian/wrappers/$name"
    chmod +x "$debian/wrappers/$name"
}

# One compiler builds all architectures: the installed one, or else Debian's. Reduces "archs" to those that can be built.
# Puts the variables of cargo and of the crate cc into "environment": exported, they would make other builds compile everything again.
rustc=${RUSTC:-rustc}
environment=()
provide_toolchain() {
    local arch variable possible=() cc ar host
    host=$("$rustc" -vV | sed -n 's/^host: //p')
    if ! can_build "${archs[@]}"; then
        echo "the installed compilers cannot build for ${archs[*]}: unpacking Debian's (200 MB)"
        if provide_debian && ! has_library "${archs[@]}"; then rustc=$debian/wrappers/rustc; fi
    fi
    environment=("RUSTC=$rustc")
    for arch in "${archs[@]}"; do
        if can_build "$arch"; then
            possible+=("$arch")
            variable=${triples[$arch]//-/_}
            environment+=("CC_$variable=$cc" "AR_$variable=$ar" "CARGO_TARGET_${variable^^}_LINKER=$cc")
        else
            skip "$arch: no compiler: install ${gnu[$arch]}-gcc and Rust's target ${triples[$arch]}"
        fi
    done
    archs=("${possible[@]}")
}

can_build() {
    local arch
    has_library "$@" || return 1
    for arch in "$@"; do find_c_compiler "$arch" || return 1; done
}
