# Shared functions of the check scripts: output, skipped checks, and installation of missing tools.
# Source it in the repository's root folder with "set -euo pipefail".

target=${CARGO_TARGET_DIR:-target}
mkdir -p "$target"
target=$(readlink -f "$target")
tools=$target/tools
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-never}

# heading NAME: begins a part, and prints the seconds since the start.
heading() { printf '\n=== %s (%d s) ===\n' "$*" "$SECONDS"; }

# field NAME: a field of the package in Cargo.toml.
field() { sed -nE "/^$1 = \"(.*)\"\$/ { s//\1/p; q }" Cargo.toml; }

has() { command -v "$1" >/dev/null 2>&1; }

# skip REASON: the check is not possible here; repeated at the end.
skipped=()
skip() {
    skipped+=("SKIPPED: $*")
    printf 'SKIPPED: %s\n' "$*" >&2
}

# add_skipped FILE: adds the SKIPPED lines of a log to ours.
add_skipped() {
    local line
    while IFS= read -r line; do skipped+=("$line"); done < <(grep '^SKIPPED: ' "$1" | sort -u || true)
}

# collect COMMAND...: runs a command and adds its SKIPPED lines to ours. Exit code 77: everything was skipped.
collect() {
    local code=0 errors
    errors=$(mktemp)
    "$@" 2>"$errors" || code=$?
    cat "$errors" >&2
    add_skipped "$errors"
    rm -f "$errors"
    if ((code == 77)); then return 0; fi
    return "$code"
}

# On every exit, list the skipped checks.
finish() {
    local code=${1:-$?} verdict=FAILED
    ((code == 0)) && verdict=passed
    ((code == 77)) && verdict=skipped
    printf '\n'
    if ((${#skipped[@]} > 0)); then printf '%s\n' "${skipped[@]}"; fi
    printf '%s: %s, %d skipped, %d s\n' "$0" "$verdict" "${#skipped[@]}" "$SECONDS"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# only_help ARGUMENT...: prints the usage for --help, and rejects every other argument.
only_help() {
    (($# > 0)) || return 0
    trap - EXIT
    case $1 in
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
    esac
}

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo -n "$@"; fi
}

# Updates the package lists once, before the first installation.
updated=
update() {
    has apt-get || return 1
    [[ -n $updated ]] || as_root apt-get update -qq || return 1
    updated=yes
}

# One script at a time, because .ci/run runs some beside each other.
install_packages() {
    local lock code=0
    mkdir -p "$tools"
    exec {lock}>"$tools/apt.lock"
    flock "$lock"
    { update && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@"; } || code=$?
    exec {lock}>&-
    return "$code"
}

# need PACKAGE COMMAND...: installs a package unless the command succeeds.
need() {
    local package=$1
    shift
    "$@" >/dev/null 2>&1 || install_packages "$package"
}

need_compiler() {
    need gcc cc --version
    need libc6-dev test -e /usr/include/stdlib.h
}

# make_venv FOLDER REQUIREMENTS: creates a Python environment; reuses it while the file is unchanged.
make_venv() {
    local venv=$1 requirements=$2
    cmp -s "$requirements" "$venv/installed.txt" && return
    need python3-venv python3 -c 'import venv, ensurepip' || return 1
    python3 -m venv --clear "$venv" || return 1
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" || return 1
    cp "$requirements" "$venv/installed.txt"
}

# Debian's packages are unpacked into the target folder, not installed, so that no service starts. The suite may differ
# from the machine's; packages are verified with Debian's key.

# apt_of SUITES FOLDER COMMAND...: runs an apt command for these suites only, with its state in the folder. The caller may
# set "architectures", separated by commas.
apt_of() {
    local suites=$1 folder=$2 suite options
    shift 2
    mkdir -p "$folder/lists/partial" "$folder/cache/archives/partial"
    : >"$folder/status"
    for suite in $suites; do
        printf 'deb [signed-by=%s] %s %s main\n' /usr/share/keyrings/debian-archive-keyring.gpg \
            "$(mirror "$suite")" "$suite"
    done >"$folder/sources.list"
    options=(-qq -o APT::Sandbox::User=root -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=-
        -o Dir::State::lists="$folder/lists" -o Dir::Cache="$folder/cache" -o Dir::State::status="$folder/status")
    [[ -z ${architectures:-} ]] || options+=(-o APT::Architectures="$architectures")
    "$1" "${options[@]}" "${@:2}"
}

# mirror SUITE: the machine's mirror of Debian, or of its security updates.
mirror() {
    local uris
    uris=$(sed -nE 's/^URIs: *([^ ]+).*/\1/p; s/^deb +(\[[^]]*\] +)?([^ ]+).*/\2/p' \
        /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null || true)
    case $1 in
    *-security) grep -m 1 '/debian-security/*$' <<<"$uris" || sed -nE '\|/debian/*$| { s||/debian-security|p; q }' <<<"$uris" ;;
    *) grep -m 1 '/debian/*$' <<<"$uris" ;;
    esac
}

# unpack SUITES FOLDER PACKAGE...: unpacks packages; their programs are in FOLDER/usr/bin. The caller may set
# "dependencies", a pattern: direct and indirect dependencies that match it are unpacked too.
unpack() {
    local suites=$1 folder=$2 package packages
    shift 2
    [[ -e $folder/complete ]] && return
    rm -rf "$folder" && mkdir -p "$folder/deb" || return 1
    apt_of "$suites" "$folder/apt" apt-get update || return 1
    packages=("$@")
    if [[ -n ${dependencies:-} ]]; then
        mapfile -t -O $# packages < <(apt_of "$suites" "$folder/apt" apt-cache depends --recurse --important "$@" |
            grep -E "^($dependencies)\$" | sort -u)
    fi
    (cd "$folder/deb" && apt_of "$suites" "$folder/apt" apt-get download "${packages[@]}") || return 1
    for package in "$folder"/deb/*.deb; do dpkg -x "$package" "$folder" || return 1; done
    rm -rf "$folder/deb" "$folder/apt" && touch "$folder/complete"
}

prometheus_packages=(prometheus prometheus-alertmanager)

# Sets PROMETHEUS, PROMTOOL, ALERTMANAGER and AMTOOL, unless set: to installed programs, or to those of Debian 12.
provide_prometheus() {
    local folder=$tools/debian-12 variable program reason
    for variable in PROMETHEUS PROMTOOL ALERTMANAGER AMTOOL; do
        program=${variable,,}
        [[ $program == alertmanager ]] && program=prometheus-alertmanager
        if [[ -n ${!variable:-} ]]; then
            continue
        elif has "$program"; then
            export "$variable=$(command -v "$program")"
        elif has dpkg && unpack bookworm "$folder" "${prometheus_packages[@]}"; then
            export "$variable=$folder/usr/bin/$program"
        else
            reason="$program is not installed, and the Debian package is not available"
            export "SKIP_$variable=$reason"
            skip "$reason"
        fi
    done
}

# Sets POSTGRES_BIN, unless set, to the folder of PostgreSQL's programs, and installs them if there are none.
provide_postgresql() {
    local settings=/etc/postgresql-common/createcluster.conf
    [[ -z ${POSTGRES_BIN:-} ]] || return 0
    if ! compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null; then
        has apt-get || return 1
        # Otherwise the package creates a cluster and starts its server.
        [[ -e $settings ]] || { as_root mkdir -p "${settings%/*}" &&
            as_root tee "$settings" <<<'create_main_cluster = false' >/dev/null; } || return 1
        install_packages -o Dpkg::Options::=--force-confold postgresql || return 1
    fi
    POSTGRES_BIN=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
    export POSTGRES_BIN
}

# provide_program VARIABLE PACKAGE PROGRAM: installs a program unless the variable is set or it is in PATH.
provide_program() {
    local variable=$1 package=$2 program=$3
    [[ -n ${!variable:-} ]] || has "$program" || install_packages "$package" || {
        export "SKIP_$variable=$program cannot be installed"
        skip "$program cannot be installed"
    }
}

# Tools that inject faults and load.
provide_faults() {
    provide_program STRACE strace strace
    provide_program PRLIMIT util-linux prlimit
    provide_program UNSHARE util-linux unshare
    provide_program CURL curl curl
    provide_program SLOWHTTPTEST slowhttptest slowhttptest
    if [[ -z ${LIBFAKETIME:-} ]] && ! compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null &&
        ! install_packages libfaketime; then
        export SKIP_LIBFAKETIME="libfaketime cannot be installed"
        skip "$SKIP_LIBFAKETIME"
    fi
}

# Sets OPENMETRICS_PYTHON to a Python with the strict OpenMetrics parser.
provide_openmetrics() {
    [[ -z ${OPENMETRICS_PYTHON:-} ]] || return 0
    if make_venv "$target/venv" tests/requirements.txt; then
        export OPENMETRICS_PYTHON=$target/venv/bin/python3
    else
        export SKIP_OPENMETRICS_PYTHON="the OpenMetrics parser cannot be installed"
        skip "$SKIP_OPENMETRICS_PYTHON"
    fi
}
