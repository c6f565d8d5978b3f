# shellcheck shell=bash
# The environment of the scripts: the system's packages, the place for built things, the virtual environment, the samples.
#
# Sourced by run, test, check and provision.sh, and by environment.py for the scripts in Python; it only defines functions
# and these variables:
#
#   checkout   the folder that holds pyproject.toml
#   state      what is built and recorded goes here: build/ in the checkout, or a cache folder where the checkout is not ours
#   venv       the virtual environment
#   samples    the built samples
#
# OBSERVER_STATE names another folder than build/ (the virtual environment then lies inside it); PYTHON another interpreter.

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
state=
venv=
samples=

say() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
}

# The observer's own status for "it was not your program that failed".
fail() {
    say "$*"
    exit 125
}

# Where the first of a script's arguments asks for help, print the comment at the script's beginning and leave.
answer_help() {
    case ${1:-} in
    -h | --help)
        sed -n '2,${ /^#/!q; s/^# \{0,1\}//p }' "$0"
        exit
        ;;
    esac
}

# ---- The system's packages ----

# Print the words before a command that make it root's; fail where this user may not install.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        printf 'env'
    elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        printf 'sudo -n env'
    else
        return 1
    fi
}

may_install() {
    command -v apt-get >/dev/null && as_root >/dev/null
}

# The command that a person types to install packages.
install_command() {
    if ! command -v apt-get >/dev/null; then
        printf "install them by this system's package manager (Debian calls them: %s)" "$*"
    elif [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; then
        local sudo='sudo '
        [ "$(id -u)" -ne 0 ] || sudo=
        printf '%sapt-get update && %sapt-get install -y %s' "$sudo" "$sudo" "$*"
    else
        printf "su -c 'apt-get update && apt-get install -y %s'" "$*"
    fi
}

apt_update() {
    local become
    read -ra become <<<"$(as_root)"
    "${become[@]}" DEBIAN_FRONTEND=noninteractive apt-get update -q -o DPkg::Lock::Timeout=300 >&2 </dev/null ||
        say "apt-get update failed (no network?); going on with the package lists that are here"
}

apt_install() {
    local become
    read -ra become <<<"$(as_root)"
    "${become[@]}" DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" >&2 </dev/null
}

installed() {
    dpkg-query -W -f '${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}

# True where apt's lists offer the package.
offered() {
    LC_ALL=C apt-cache policy "$1" 2>/dev/null | grep -q 'Candidate: [0-9]'
}

# Of packages that hold the same thing under the names of several releases, print the one that is here or can be had;
# where there is none, the first.
one_of() {
    local package
    for package in "$@"; do
        if installed "$package" || offered "$package"; then
            printf '%s\n' "$package"
            return
        fi
    done
    printf '%s\n' "$1"
}

# ---- What cannot be done without ----

# Print an interpreter that is new enough and can make virtual environments.
find_python() {
    local name path
    for name in ${PYTHON:+"$PYTHON"} python3 /usr/bin/python3 python3.14 python3.13 python3.12 python3.11; do
        path=$(command -v "$name") || continue
        "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        "$path" -c 'import ensurepip, venv' 2>/dev/null || continue
        printf '%s\n' "$path"
        return
    done
    return 1
}

# True where C compiles and links; a compiler without the C library's headers is common.
compiles() {
    command -v cc >/dev/null || return 1
    printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | cc -x c -o /dev/null - 2>/dev/null
}

# Print the packages that are missing, one a line.
missing_packages() {
    if ! venv_works && ! find_python >/dev/null; then
        printf '%s\n' python3 python3-venv
    fi
    compiles || printf '%s\n' gcc libc6-dev
    command -v make >/dev/null || printf 'make\n'
}

# Find or install python3, a C compiler and make; or say in one line what to type.
need_packages() {
    local missing
    mapfile -t missing < <(missing_packages)
    [ "${#missing[@]}" -gt 0 ] || return 0
    if may_install; then
        say "installing what is missing: ${missing[*]}"
        apt_update
        apt_install "${missing[@]}" || fail "apt-get could not install ${missing[*]}; its own message stands above. To try by hand: $(install_command "${missing[@]}")"
        mapfile -t missing < <(missing_packages)
        [ "${#missing[@]}" -gt 0 ] || return 0
        if [[ " ${missing[*]} " == *' python3 '* ]]; then
            fail "Python 3.11 or newer with its venv module is needed; this system's is $(python3 --version 2>&1). Try: PYTHON=/path/to/python3.11 $0"
        fi
        fail "apt-get installed ${missing[*]}, yet it does not work here; is another cc, make or python3 earlier in PATH?"
    fi
    fail "missing: ${missing[*]}, and this user may not install packages; type: $(install_command "${missing[@]}")"
}

# ---- What is nice to have ----

# Install those of the named packages that are missing and that apt offers; what cannot be had is named, and no error.
want_packages() {
    local package missing=() offers=()
    command -v dpkg-query >/dev/null || return 0
    for package in "$@"; do
        installed "$package" || missing+=("$package")
    done
    [ "${#missing[@]}" -gt 0 ] || return 0
    if ! may_install; then
        say "not installed: ${missing[*]}; what needs them is skipped. To have them: $(install_command "${missing[@]}")"
        return 0
    fi
    # Lists that are there already are asked first: a package that no list offers is no reason to fetch them again.
    if ! offered make; then
        apt_update
    fi
    for package in "${missing[@]}"; do
        if offered "$package"; then
            offers+=("$package")
        else
            say "$package is not offered by this system's package sources; what needs it is skipped"
        fi
    done
    [ "${#offers[@]}" -gt 0 ] || return 0
    say "installing ${offers[*]}"
    apt_install "${offers[@]}" && return 0
    # Stale lists name versions that are gone, and one package that fails keeps all others out.
    apt_update
    for package in "${offers[@]}"; do
        apt_install "$package" || say "$package could not be installed; what needs it is skipped"
    done
}

# ---- The place ----

writable() {
    if [ -e "$1" ]; then
        [ -w "$1" ]
    else
        [ -w "$checkout" ]
    fi
}

# A cache folder of this user, or, where there is no home to write to, one under the temporary folder.
cache_folder() {
    local folder=${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}/malloc-observer
    if mkdir -p "$folder" 2>/dev/null && [ -w "$folder" ]; then
        printf '%s\n' "$folder"
        return
    fi
    # A known name, so that the next run finds it; never a folder or a link that somebody else laid there.
    folder=${TMPDIR:-/tmp}/malloc-observer-$(id -u)
    mkdir -m 700 "$folder" 2>/dev/null
    if [ -d "$folder" ] && [ ! -L "$folder" ] && [ -O "$folder" ] && [ -w "$folder" ]; then
        printf '%s\n' "$folder"
        return
    fi
    mktemp -d
}

# Set state, venv and samples.
choose_place() {
    local key
    if [ -n "${OBSERVER_STATE:-}" ]; then
        mkdir -p "$OBSERVER_STATE" || fail "the folder OBSERVER_STATE=$OBSERVER_STATE cannot be made; name one that you can write to"
        state=$(cd "$OBSERVER_STATE" && pwd -P)
        venv=$state/venv
    elif writable "$checkout/build" && writable "$checkout/.venv" && usable "$checkout/.venv"; then
        state=$checkout/build
        venv=$checkout/.venv
    else
        # Each checkout has its own: two versions of the observer do not share an environment.
        key=$(printf '%s' "$checkout" | sha256sum | cut -c 1-12)
        state=$(cache_folder)/$key || fail "no folder can be written: neither ~/.cache nor ${TMPDIR:-/tmp}; set OBSERVER_STATE to one that can"
        venv=$state/venv
    fi
    samples=$state/c_samples
    mkdir -p "$state" || fail "the folder $state cannot be made; set OBSERVER_STATE to one that you can write to"
}

# True for a virtual environment that is not there yet, or whose interpreter this user can run.
usable() {
    [ ! -e "$1/bin/python" ] || "$1/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

venv_works() {
    [ -e "$venv/bin/python" ] && usable "$venv"
}

# ---- The virtual environment ----

# What an installation depends on. The observer is installed as a link to the checkout, so its sources are not in here.
installation() {
    {
        cat "$checkout/pyproject.toml"
        printf '%s\n%s\n' "$checkout" "$venv"
        readlink -f "$venv/bin/python"
    } | sha256sum | cut -d ' ' -f 1
}

stamped() {
    local stamp=$venv/.installed-$1
    [ -r "$stamp" ] && [ "$(cat "$stamp")" = "$(installation)" ]
}

# Make the virtual environment and install the observer with the named extras ("" for none); quick when that was done before.
need_environment() {
    local extras=$1 name=base python options=()
    [ -z "$extras" ] || name=${extras//,/-}
    if venv_works && stamped "$name" && [ -x "$venv/bin/observer" ]; then
        return
    fi
    (
        # Two runs at a time: the second waits, and finds the work done.
        flock 9 2>/dev/null
        if venv_works && stamped "$name" && [ -x "$venv/bin/observer" ]; then
            exit
        fi
        if ! venv_works; then
            python=$(find_python)
            say "making a virtual environment of $("$python" --version) in $venv"
            "$python" -m venv --clear "$venv" >&2 ||
                fail "the virtual environment $venv could not be made; on Debian and Ubuntu its module is a package: $(install_command python3-venv)"
        fi
        "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null 2>&1 ||
            fail "the virtual environment $venv has no pip, and ensurepip cannot add it; remove that folder and run this again"
        say "installing the observer and its Python packages into $venv (once; later runs skip this)"
        # Where there is no home, pip has no cache either and would say so each time.
        [ -w "${HOME:-/nonexistent}" ] || options+=(--no-cache-dir)
        PIP_USER=0 "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "${options[@]}" \
            --editable "$checkout${extras:+[$extras]}" >&2 ||
            fail "pip could not install the observer; its own message stands above. Without a network, set PIP_FIND_LINKS to a folder of wheels; behind a proxy, set https_proxy"
        installation >"$venv/.installed-$name"
        installation >"$venv/.installed-base"
    ) 9>"$state/lock" || exit
}

# ---- The samples ----

# Compile the samples; one that cannot be built here (no static C library, say) is named, and the others are there.
build_samples() {
    local said
    if ! said=$(make -s -C "$checkout/c_samples" BUILD="$samples" -j2 2>&1 </dev/null); then
        printf '%s\n' "$said" >&2
        say "not every program of c_samples could be compiled (see above); going on with the others"
    fi
    [ -x "$samples/story" ] || fail "c_samples/story.c could not be compiled; the compiler's message stands above"
}

# All that the main job needs, and where it is, with the named extras of the package ("" for none).
prepare() {
    prepare_python "$1"
    build_samples
}

# The same without the samples.
prepare_python() {
    choose_place
    need_packages
    need_environment "${1:-}"
}

# ---- The hot modules, compiled ----

# Compile them, in the environment with the extra "compile"; where it cannot be done, say why.
compile_hot() {
    "$venv/bin/python" -c 'import sys; from observer.compiled import build; sys.exit(build() or 0)' ||
        say "the hot modules are not compiled, and run from their sources: the reason stands above"
}

# Have that done aside, once for these sources, where nobody waits for it.
compile_aside() {
    local key
    key=$("$venv/bin/python" -c 'from observer.compiled import place; print(place().name if not place().exists() else "")') || return
    if [ -n "$key" ] && [ "${OBSERVER_COMPILED:-}" != no ] && [ ! -e "$state/compile-$key.log" ]; then
        setsid nice -n 19 "$checkout/scripts/compile" >"$state/compile-$key.log" 2>&1 </dev/null &
        say "the hot modules are being compiled aside, so that long runs finish faster (once; see $state/compile-$key.log)"
    fi
}

# ---- The static checks ----

# Run ruff and mypy; print which of them failed and return 1.
check_sources() {
    local failed=() failures
    # Their caches beside the built things, unless the checkout is ours.
    if [ "$venv" != "$checkout/.venv" ]; then
        export RUFF_CACHE_DIR=$state/ruff MYPY_CACHE_DIR=$state/mypy
    fi
    "$venv/bin/python" -m ruff check . || failed+=('ruff check')
    "$venv/bin/python" -m ruff format --check . || failed+=('ruff format --check')
    "$venv/bin/python" -m mypy || failed+=(mypy)
    [ "${#failed[@]}" -eq 0 ] && return
    printf -v failures '%s, ' "${failed[@]}"
    say "FAILED: ${failures%, }; this run ends with status 1 whatever the tests say"
    return 1
}

# Run pytest for so many seconds at most, with the caches of this place.
run_pytest() {
    local limit=$1 caches=() workers=()
    shift
    # Tests of one file share what they record, and stay together.
    [ "$(nproc)" -eq 1 ] || workers=(-n "$(nproc)" --dist loadfile)
    # The tests start the observer a thousand times: where Python is told to write no bytecode, or may not write it
    # here, each would compile it anew.
    "$venv/bin/python" -m compileall -q observer >/dev/null
    if [ "$venv" != "$checkout/.venv" ]; then
        caches=(-o "cache_dir=$state/pytest")
        export HYPOTHESIS_STORAGE_DIRECTORY=$state/hypothesis
    fi
    export OBSERVER_SAMPLES=${OBSERVER_SAMPLES:-$samples}
    timeout --foreground --signal=INT --kill-after=30 "$limit" "$venv/bin/python" -m pytest "${caches[@]}" "${workers[@]}" "$@"
}
