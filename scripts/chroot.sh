# shellcheck shell=bash disable=SC2154
# A clean Debian in a folder, entered by chroot: fetched once, with this machine's ways to packages, and the project in it.
#
# Sourced by fresh and vm, after setup.sh; it only defines functions. They read
#
#   cache      the folder for base systems and logs
#   worktree   1 for the project's files as they lie here, 0 for those of the last commit
#   root       the folder that is entered
#
# and OBSERVER_FRESH_MIRROR, another source of packages than the first of this machine's own.

# ---- Outside ----

# The packages' source: the first of this machine's that is not an extra one.
mirror() {
    if [ -n "${OBSERVER_FRESH_MIRROR:-}" ]; then
        printf '%s\n' "$OBSERVER_FRESH_MIRROR"
    else
        # shellcheck disable=SC2016
        apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m 1 '/debian/\?$' ||
            printf 'http://deb.debian.org/debian\n'
    fi
}

# Fetch the suite's base system once.
need_base() {
    local base=$1 suite=$2 folder
    [ ! -e "$base" ] || return 0
    command -v debootstrap >/dev/null || fail "debootstrap is missing; type: apt-get install -y debootstrap"
    folder=$(mktemp -d "$cache/base.XXXXXX") || fail "no folder can be made in $cache; set OBSERVER_FRESH_CACHE to another"
    if ! debootstrap --variant=minbase "$suite" "$folder/root" "$(mirror)" >"$cache/logs/$suite-debootstrap.log" 2>&1; then
        tail -n 5 "$cache/logs/$suite-debootstrap.log" >&2
        rm -rf --one-file-system "$folder"
        fail "debootstrap could not make $suite; its last words stand above. Is the suite's name right, and is there a network?"
    fi
    tar -C "$folder/root" --one-file-system -cf "$folder/base.tar" . && mv "$folder/base.tar" "$base"
    rm -rf --one-file-system "$folder"
}

# Print the project's files as a tar archive.
project() {
    cd "$checkout" || return
    if [ "$worktree" -eq 1 ]; then
        git -c safe.directory='*' ls-files -z --cached --others --exclude-standard --deduplicate |
            while IFS= read -r -d '' file; do
                [ ! -e "$file" ] || printf '%s\0' "$file"
            done | tar --null --no-recursion -T - -cf -
    else
        git -c safe.directory='*' archive HEAD
    fi
}

# Every path in pip's settings, files and environment alike, and in the certificates' variables: one a line. An index on disk
# (…/simple) refers to files beside it, hence the folder around it.
setting_words() {
    {
        python3 -m pip config list
        env | grep -E '^(SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)='
    } 2>/dev/null | sed "s/^[^=]*=//; s/'//g; s,file://,,g" | tr ' ' '\n' | grep '^/' | sed 's,/simple/*$,,' | sort -u
}

# Settings of pip on this machine, from all its files, as one file.
pip_settings() {
    python3 -m pip config list 2>/dev/null | python3 -c '
import ast, sys
for line in sys.stdin:
    name, _, value = line.partition("=")
    section, _, key = name.partition(".")
    if section != ":env:" and key:
        print(f"[{section}]\n{key} = " + ast.literal_eval(value).replace("\n", "\n    "))
' | awk '!/^\[/ || $0 != last { print } /^\[/ { last = $0 }'
}

# Lay the base system, this machine's settings, a user `student` and the project, from .project.tar in ROOT, into the folder:
# furnish ROOT BASE SUITE FOLDER-OF-THE-PROJECT …
furnish() {
    local root=$1 base=$2 suite=$3 path security
    shift 3
    tar -C "$root" -xpf "$base" || fail "the base system $base cannot be unpacked; remove it, and it will be fetched again"
    cp -L /etc/resolv.conf /etc/hosts "$root/etc/"

    # shellcheck disable=SC2016
    security=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m 1 'security')
    printf 'deb %s %s main\n' "$(mirror)" "$suite" >"$root/etc/apt/sources.list"
    [ -z "$security" ] || printf 'deb %s %s-security main\n' "$security" "$suite" >>"$root/etc/apt/sources.list"
    apt-config dump | grep -iE '^Acquire::(https?|ftp|Retries|Check-)' >"$root/etc/apt/apt.conf.d/80outside"
    printf 'exit 101\n' >"$root/usr/sbin/policy-rc.d"
    chmod 755 "$root/usr/sbin/policy-rc.d"

    pip_settings >"$root/etc/pip.conf"
    while read -r path; do
        if [ -d "$path" ]; then
            mkdir -p "$root$path"
            printf '%s\n' "$path" >>"$root/.folders"
        elif [ -f "$path" ]; then
            mkdir -p "$root${path%/*}"
            cp -L "$path" "$root$path"
        fi
    done < <(setting_words)
    if [ -d /usr/local/share/ca-certificates ]; then
        mkdir -p "$root/usr/local/share/ca-certificates"
        cp -rL /usr/local/share/ca-certificates/. "$root/usr/local/share/ca-certificates/"
    fi

    chroot "$root" useradd --create-home --shell /bin/bash student
    for path in "$@"; do
        mkdir -p "$root/$path"
        tar -C "$root/$path" --no-same-owner -xf "$root/.project.tar"
    done
    chroot "$root" chown -R student: /home/student/malloc-observer
}

# ---- Inside: to be called in a mount and process namespace of its own, so that nothing mounted here can stay ----

mount_inside() {
    local path
    mount -t proc proc "$root/proc"
    # What a script sets in the kernel would be set for the whole machine.
    mount --bind /proc/sys "$root/proc/sys" && mount -o remount,bind,ro "$root/proc/sys"
    mount --rbind /sys "$root/sys"
    mount --rbind /dev "$root/dev"
    while read -r path; do
        mount --bind "$path" "$root$path" && mount -o remount,bind,ro "$root$path"
    done < <(cat "$root/.folders" 2>/dev/null)
}

# Run a command as a user: enter USER HOME FOLDER COMMAND …
enter() {
    local user=$1 home=$2 folder=$3 settings
    shift 3
    mapfile -t settings < <(env | grep -E '^(PIP_[A-Z_]+|https?_proxy|no_proxy|HTTPS?_PROXY|NO_PROXY|SSL_CERT_FILE|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE)=')
    # shellcheck disable=SC2016
    chroot --userspec="$user" "$root" /usr/bin/env -i "${settings[@]}" HOME="$home" USER="${user%:*}" LANG=C.UTF-8 TERM=dumb \
        PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        timeout --kill-after=10 1800 sh -c 'cd "$1" && shift && exec "$@"' enter "$folder" "$@" </dev/null
}
