# Waits until the test process is done with its folder, then gives back what is on the list in it. Argument: the folder.
dir=$1
status=0

left() { # WHAT
    echo "LEFT BEHIND by a test: $1" >&2
    status=1
}

# Tries a command up to 100 times, every 50 ms.
patiently() { # COMMAND...
    for _ in $(seq 100); do
        "$@" 2>/dev/null && return
        sleep 0.05
    done
    return 1
}

# The state and the start of a process, if it is there and no zombie.
running() { # PID START
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    # shellcheck disable=SC2086 # its fields
    set -- "$2" ${stat##*) }
    [ "$2" != Z ] && [ "${21}" = "$1" ]
}

gone() { # PID START
    ! running "$1" "$2"
}

unmounted() { # PATH
    ! mountpoint -q "$1" || umount "$1"
}

members() { # GROUP
    find "$1" -name cgroup.procs -exec cat {} + 2>/dev/null
}

# A frozen process does not notice that it was killed (version 1).
thawed() { # GROUP
    [ ! -e "$1/freezer.state" ] || echo THAWED >"$1/freezer.state"
    [ ! -e "$1/cgroup.freeze" ] || echo 0 >"$1/cgroup.freeze"
}

emptied() { # GROUP
    for pid in $(members "$1"); do
        kill -KILL "$pid"
    done
    [ ! -d "$1" ] || find "$1" -depth -type d -exec rmdir {} +
}

removed_zram() { # NUMBER
    [ ! -e "/sys/block/zram$1" ] || echo "$1" >/sys/class/zram-control/hot_remove
}

read -r _
# The freezer is but one of the groups that a process is in, so all are thawed before the first is emptied.
while read -r kind what; do
    [ "$kind" != group ] || thawed "$what" 2>/dev/null
done <"$dir/taken"
while read -r kind what more; do
    case $kind in
        process)
            if running "$what" "$more"; then
                kill -KILL "$what" 2>/dev/null
                patiently gone "$what" "$more" || left "process $what"
            fi
            ;;
        mount) patiently unmounted "$what" || { left "mount $what"; umount -l "$what"; } ;;
        namespace) [ ! -e "/run/netns/$what" ] || patiently ip netns delete "$what" || left "network namespace $what" ;;
        group) [ ! -d "$what" ] || patiently emptied "$what" || left "control group $what" ;;
        zram) patiently removed_zram "$what" || left "disk zram$what" ;;
    esac
done <<LIST
$(tac "$dir/taken")
LIST
# Nothing may be mounted below the folder when it is removed.
if grep -q " $dir/" /proc/self/mountinfo; then
    left "mounts below $dir"
else
    rm -rf --one-file-system "$dir"
fi
exit "$status"
