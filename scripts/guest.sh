# shellcheck shell=bash
# What runs inside the machine that scripts/vm boots, as its first process: the cases, and off.
#
# The machine's first disk holds Debian, with the observer in /home/student/malloc-observer as scripts/provision.sh left it
# (or, for cloud12, with what cloud-init has just done, in /opt/malloc-observer); writes to it are forgotten. The second one,
# /vm, brings this file as part of project.tar, and `order` (NAME, then short or full, then what `only` is in cases.sh), and
# takes home results/: machine.json, doctor-WHO.json, facts-WHO.json, table, logs.

set -u
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

project=/home/student/malloc-observer
results=/vm/results
student=(student:student /home/student "$project")
root=(root:root /root "$project")

# Of /proc/sys, or of another folder of the kernel's.
setting() {
    cat "$1" 2>/dev/null || printf 'none\n'
}

switch_off() {
    sync
    mount -o remount,ro /vm
    echo o >/proc/sysrq-trigger
    sleep 60
}

# Run a command as a user: enter USER:GROUP HOME FOLDER COMMAND …
enter() {
    local user=${1%:*} home=$2 folder=$3
    shift 3
    # shellcheck disable=SC2016
    env -i HOME="$home" USER="$user" LOGNAME="$user" LANG=C.UTF-8 TERM=dumb PATH="$PATH" OBSERVER_COMPILED=no \
        setpriv --reuid "$user" --regid "$user" --init-groups \
        timeout --kill-after=10 3600 sh -c 'cd "$1" && shift && exec "$@"' enter "$folder" "$@" </dev/null
}

mount_all() {
    mount -t sysfs sysfs /sys
    mount -t securityfs securityfs /sys/kernel/security
    mount -t tracefs tracefs /sys/kernel/tracing
    mountpoint -q /dev || mount -t devtmpfs devtmpfs /dev
    mkdir -p /dev/pts /dev/shm
    mount -t devpts devpts /dev/pts
    mount -t tmpfs tmpfs /dev/shm
    mount -t tmpfs tmpfs /run
    mount -t tmpfs tmpfs /tmp
    chmod 1777 /tmp /dev/shm
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    ln -sfn /proc/self/fd /dev/fd
    hostname "${name}"
    ip link set lo up
}

# Put the project's files in the place of those that the image was made with; what is built stays.
lay_project() {
    find "$project" \( -path "$project/.venv" -o -path "$project/build" \) -prune -o -type f ! -name '*.pyc' -exec rm {} +
    tar -C "$project" --no-same-owner -xf /vm/project.tar
    chown -R student: "$project"
}

describe() {
    cat <<END
{
  "place": "$name",
  "system": "$(. /etc/os-release && printf '%s' "$PRETTY_NAME")",
  "kernel": "$(uname -r)",
  "machine": "$(uname -m)",
  "processor": "QEMU",
  "yama": "$(setting /proc/sys/kernel/yama/ptrace_scope)",
  "perf_event_paranoid": "$(setting /proc/sys/kernel/perf_event_paranoid)",
  "transparent_hugepage": "$(setting /sys/kernel/mm/transparent_hugepage/enabled)",
  "mmap_rnd_bits": "$(setting /proc/sys/vm/mmap_rnd_bits)",
  "overcommit_memory": "$(setting /proc/sys/vm/overcommit_memory)",
  "boot_seconds": $(cut -d ' ' -f 1 /proc/uptime),
  "extent": "$extent",
  "only": "$(printf '%s' "$only" | sed 's/["\\]/\\&/g')"
}
END
}

# doctor --json of a user, kept under the name of the circumstances: doctor WHO TITLE USER:GROUP HOME FOLDER
doctor() {
    local who=$1 title=$2
    shift 2
    # shellcheck disable=SC2016
    attempt "$title" 0 "$@" sh -c '.venv/bin/observer doctor --json >"$1"' doctor "$results/doctor-$who.json"
}

# A core of the tests: what depends on the kernel, and the main job beside other witnesses: tests TITLE USER:GROUP HOME FOLDER
tests() {
    local title=$1
    shift
    # Of the samples two are enough here, heap and mappings, and exec: root's tests have fork.
    some_tests 'unit or (story and not static) or exec_self or arm64' "${core[*]}" "$title" "$@"
}

# Those that EXPRESSION, pytest's -k, selects in FILES: some_tests EXPRESSION 'FILE …' TITLE USER:GROUP HOME FOLDER
some_tests() {
    local which=$1 title=$3 files
    read -ra files <<<"$2"
    shift 3
    # An emulated processor is slow: each test may take fifteen times its usual limit.
    # shellcheck disable=SC2016
    attempt "$title" 0 "$@" bash -c '. scripts/setup.sh && choose_place && run_pytest 3000 -q -o timeout=1800 "$@"' \
        tests --basetemp="/tmp/pytest-$number" --durations=20 -k "$which" "${files[@]}"
}

core=(
    tests/unit/linux tests/unit/tracee tests/unit/instruments
    tests/witness/test_facts.py tests/witness/test_faults.py tests/witness/test_syscalls.py tests/witness/test_refused.py
    tests/witness/test_rings_arm64.py tests/live/test_ordinary_user.py
)

# Who called, as `run --stack` keeps it, beside gdb, which an emulated processor runs in minutes: stacks TITLE USER:GROUP HOME FOLDER
stacks() {
    local title=$1
    shift
    # shellcheck disable=SC2016
    attempt "$title: run --stack 8, show --stacks" 0 "$@" bash -c '
        trace=$(mktemp -d)/a.trace
        .venv/bin/observer run -q --stack 8 -o "$trace" build/c_samples/story &&
            .venv/bin/observer show "$trace" --top calls --stacks' stacks
    [ "$extent" = short ] ||
        some_tests test 'tests/witness/test_stacks.py tests/live/test_stacks.py' "$title: tests of --stack" "$@"
}

# What the observer sees of some samples, to be set beside the same of other machines: facts WHO TITLE USER:GROUP HOME FOLDER
facts() {
    local who=$1 title=$2
    shift 2
    attempt "$title: scripts/facts keep" 0 "$@" scripts/facts keep "$results/facts-$who.json" story first_touch fork_cow
}

# That a run goes on where the kernel's side, bcc or a part of it is refused, and says so: refused EXPRESSION WORDS TITLE USER:GROUP HOME FOLDER
refused() {
    local asked=$1 words=$2 title=$3
    shift 3
    # shellcheck disable=SC2016
    attempt "$title: run -e $asked goes on" 0 "$@" bash -c '
        trace=$(mktemp -d)/a.trace
        .venv/bin/observer run -q -e "$1" -o "$trace" build/c_samples/first_touch || exit
        grep -o "[^\"]*$2[^\"]*" "$trace/meta.json" || ! .venv/bin/observer show "$trace" --ledger' refused "$asked" "$words"
}

# The kernel's side, seen by root: beside pagemap, the kernel's counters and bcc; then what is said where it cannot be seen.
kernel_cases() {
    local build
    build=/lib/modules/$(uname -r)/build
    some_tests 'first_touch or frame_that or times or headers' tests/witness/test_kernel_side.py "root: the kernel's side, and bcc" "${root[@]}"
    refused kernel 'sudo observer run -e kernel' student "${student[@]}"
    mv "$build" "$build.away"
    refused bcc 'linux-headers-' 'root, no headers' "${root[@]}"
    mv "$build.away" "$build"
    # There is no way back from here. Kprobes are forbidden, tracepoints are not.
    echo confidentiality >/sys/kernel/security/lockdown
    refused bcc 'handle_mm_fault is not timed: the kernel is locked down' 'root, under lockdown' "${root[@]}"
}

# What perf's permission decides.
by_permission=(tests/witness/test_facts.py tests/witness/test_faults.py)

# The machine with the kernel alone: nothing has applied /etc/sysctl.d, until it is provisioned once more.
plain_cases() {
    local paranoid who
    paranoid=$(setting /proc/sys/kernel/perf_event_paranoid) who="student, perf_event_paranoid $paranoid"
    attempt "$who: scripts/run" 0 "${student[@]}" scripts/run
    doctor student "student: observer doctor --json" "${student[@]}"
    if [ "$extent" = full ]; then
        facts student "$who" "${student[@]}"
        tests "$who: tests" "${student[@]}"
    fi
    attempt 'root: scripts/provision.sh, again' 0 "${root[@]}" bash scripts/provision.sh
    paranoid=$(setting /proc/sys/kernel/perf_event_paranoid) who="student, perf_event_paranoid $paranoid"
    attempt "$who: scripts/run" 0 "${student[@]}" scripts/run
    doctor provisioned "$who: observer doctor --json" "${student[@]}"
    [ "$extent" = short ] || some_tests 'story and not static' "${by_permission[*]}" "$who: tests" "${student[@]}"
    # Root comes last: what it leaves in the student's checkout is not the student's.
    attempt 'root: scripts/run' 0 "${root[@]}" scripts/run
    doctor root 'root: observer doctor --json' "${root[@]}"
    if [ "$extent" = full ]; then
        some_tests 'fork_cow or exec_self' "${by_permission[*]}" 'root: tests' "${root[@]}"
        facts root root "${root[@]}"
        kernel_cases
    fi
}

# The machine of another processor: its packages are not configured, so there is nothing to provision.
arm64_cases() {
    local paranoid
    paranoid=$(setting /proc/sys/kernel/perf_event_paranoid)
    attempt "student, perf_event_paranoid $paranoid: scripts/run" 0 "${student[@]}" scripts/run
    doctor student "student: observer doctor --json" "${student[@]}"
    echo 1 >/proc/sys/kernel/perf_event_paranoid
    attempt 'student, perf_event_paranoid 1: scripts/run' 0 "${student[@]}" scripts/run
    doctor provisioned 'student, perf_event_paranoid 1: observer doctor --json' "${student[@]}"
    attempt 'student: a static program' 0 "${student[@]}" scripts/run build/c_samples/story-static
    attempt 'student: threads' 0 "${student[@]}" scripts/run build/c_samples/threads
    attempt 'student: compare --allocator glibc' 0 "${student[@]}" .venv/bin/observer compare --allocator glibc -- build/c_samples/story
    attempt 'student: threads, recorded inside' 0 "${student[@]}" .venv/bin/observer run -q --recorder inline -o /tmp/inside.trace -- build/c_samples/threads
    stacks student "${student[@]}"
    if [ "$extent" = full ]; then
        some_tests merely_jump tests/live/test_trials_calls.py 'student: wrappers that jump' "${student[@]}"
        tests 'student, perf_event_paranoid 1: tests' "${student[@]}"
        attempt 'student: scripts/workloads' 0 "${student[@]}" scripts/workloads -o "$results/workloads"
    fi
    attempt 'root: scripts/run' 0 "${root[@]}" scripts/run
    doctor root 'root: observer doctor --json' "${root[@]}"
    [ "$extent" = short ] || tests 'root: tests' "${root[@]}"
    [ "$extent" = short ] || facts root root "${root[@]}"
}

# The machine that cloud-init has made out of a cloud's image.
cloud_cases() {
    attempt 'root: cloud-init status --long' 0 "${root[@]}" cloud-init status --long
    attempt 'root: cloud-init schema --system' 0 "${root[@]}" cloud-init schema --system
    attempt 'student: observer run -- ls -l /' 0 "${student[@]}" observer run -o /tmp/ls.trace -- ls -l /
    attempt 'student: scripts/run' 0 "${student[@]}" scripts/run
    doctor provisioned 'student: observer doctor --json' "${student[@]}"
    attempt 'root: scripts/provision.sh, again' 0 "${root[@]}" bash scripts/provision.sh
    doctor root 'root: observer doctor --json' "${root[@]}"
    cp /var/log/cloud-init-output.log /var/log/cloud-init.log "$results/logs/"
}

read -r name extent only </vm/order
case $name in
cloud*) cases=cloud_cases project=/opt/malloc-observer student[2]=$project root[2]=$project ;;
*)
    cases=plain_cases
    [ "${name#arm64-}" = "$name" ] || cases=arm64_cases
    mount_all
    lay_project
    ;;
esac
mkdir -p "$results/logs"
trap switch_off EXIT
printf 'vm: %s: Linux %s is up after %s s\n' "$name" "$(uname -r)" "$(cut -d ' ' -f 1 /proc/uptime)"
chown -R student: "$results"
describe >"$results/machine.json"

# shellcheck source=scripts/cases.sh
. /vm/scripts/cases.sh
suite=$name table=$results/table logs=$results/logs/case
: >"$table"
"$cases" 2> >(sed -u 's/^/vm: /')
if [ "$number" -eq 0 ]; then
    bad=1
    printf 'vm: %s: no outcome is called anything like %s\n' "$name" "$only"
fi
printf '%s\n' "$bad" >"$results/status"
