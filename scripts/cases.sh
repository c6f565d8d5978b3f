# shellcheck shell=bash disable=SC2034,SC2154
# Cases: commands that are run as somebody, with the status that is expected of them, and a table of what came.
#
# Sourced by fresh and by what runs inside a virtual machine. Whoever sources it defines
#
#   enter      a function: enter USER:GROUP HOME FOLDER COMMAND … runs the command there as that user
#   suite      the first column of each row
#   table      the file of the rows
#   logs       how the logs' names begin, with their folder
#   only       where it is not empty, an extended regular expression: cases whose titles do not match it are passed over
#
# and finds in `bad` whether a case came otherwise than expected.

number=0
bad=0

# Run one case and note its row: attempt TITLE EXPECTED-STATUS USER:GROUP HOME FOLDER COMMAND …
attempt() {
    local title=$1 expected=$2 began=$EPOCHREALTIME status log outcome
    [[ -z ${only:-} || $title =~ $only ]] || return 0
    shift 2
    number=$((number + 1))
    log=$logs-$number.log
    enter "$@" >"$log" 2>&1
    status=$?
    outcome=ok
    if [ "$status" -ne "$expected" ]; then
        outcome=FAILED
        bad=1
    fi
    awk -v began="$began" -v ended="$EPOCHREALTIME" -v suite="$suite" -v title="$title" -v status="$status" -v expected="$expected" \
        -v outcome="$outcome" 'BEGIN { printf "%-9s %-58s %6d %8d %8.1f  %s\n", suite, title, status, expected, ended - began, outcome }' |
        tee -a "$table" >&2
    if [ "$outcome" = FAILED ]; then
        printf '          the log %s ends:\n' "$log" >&2
        tail -n 12 "$log" | sed 's/^/          | /' >&2
    fi
}

# Print the head of the table.
cases_head() {
    printf '%-9s %-58s %6s %8s %8s\n' suite what status expected seconds
}
