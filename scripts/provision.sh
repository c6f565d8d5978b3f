#!/usr/bin/env bash
# Make a Debian or Ubuntu machine one for the labs; Vagrant calls this, and any
# other way to a virtual machine can.
#
#   sudo bash scripts/provision.sh
#
# It may be run again at any time: what is there already is left alone, and only
# the recording that shows that all works is made anew (`scripts/fresh bookworm
# provision` proves it). The observer is installed for the ordinary user that the
# checkout belongs to (else for the one who called sudo, else for `vagrant`, else
# for root), and as the command `observer`.
set -u

# shellcheck source=scripts/setup.sh
. "$(dirname "$(readlink -f "$0")")/setup.sh"
answer_help "$@"

[ "$(id -u)" -eq 0 ] || fail "packages and kernel settings need root; type: sudo bash $0"
command -v apt-get >/dev/null || fail "this machine has no apt-get; the labs' machine is Debian 12 or 13 or Ubuntu 24.04"

# ---- Packages ----

missing=()
for package in binutils bubblewrap gcc gdb git libc6-dbg libc6-dev make python3 python3-venv strace; do
    installed "$package" || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
    apt_update
    apt_install "${missing[@]}" || fail "apt-get could not install ${missing[*]}; its own message stands above. Check the network, then run this again"
fi
# For the lessons beyond ptrace. The headers must be those of the kernel that runs, not of the newest.
want_packages bpftrace python3-bpfcc "linux-headers-$(uname -r)"

# ---- Kernel settings ----

settings=/etc/sysctl.d/60-malloc-observer.conf
text='# Let ordinary users count page faults, those in kernel mode included (Debian sets 3, Ubuntu 4: none at all).
# Nothing here changes who may trace whom: kernel.yama.ptrace_scope stays as the system has it, and a program that the
# observer starts itself can always be traced.
kernel.perf_event_paranoid = 1'
if [ "$(cat "$settings" 2>/dev/null)" != "$text" ]; then
    mkdir -p "${settings%/*}"
    printf '%s\n' "$text" >"$settings"
fi
if [ "$(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null)" != 1 ]; then
    sysctl -q -p "$settings" 2>/dev/null || { echo 1 >/proc/sys/kernel/perf_event_paranoid; } 2>/dev/null ||
        say "kernel.perf_event_paranoid stays $(cat /proc/sys/kernel/perf_event_paranoid 2>/dev/null || echo unknown): this machine's kernel is not ours to set (a container?); page faults may be refused to ordinary users"
fi

# ---- The observer, for the ordinary user ----

ordinary() {
    [ -n "$1" ] && [ "$1" != root ] && [ "$1" != UNKNOWN ] && getent passwd "$1" >/dev/null
}

user=root
for name in "$(stat -c %U "$checkout")" "${SUDO_USER:-}" vagrant; do
    if ordinary "$name"; then
        user=$name
        break
    fi
done
home=$(getent passwd "$user" | cut -d : -f 6)

as_user() {
    (cd "$home" && runuser -u "$user" -- env HOME="$home" USER="$user" LOGNAME="$user" "$@")
}

say "the observer is for $user, from $checkout"
as_user bash "$checkout/scripts/run" </dev/null || fail "scripts/run failed for $user; its message stands above. Run this again when it is mended"

# shellcheck disable=SC2016
folder=$(as_user bash -c '. "$1/scripts/setup.sh" && choose_place && printf %s "$venv"' provision "$checkout")
[ "$(readlink /usr/local/bin/observer)" = "$folder/bin/observer" ] || ln -sfn "$folder/bin/observer" /usr/local/bin/observer

as_user /usr/local/bin/observer doctor </dev/null ||
    say "the doctor names above what this machine does not allow, and the remedy"
exit 0
