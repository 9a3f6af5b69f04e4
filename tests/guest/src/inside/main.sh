# The guest's first process from the second stage on, with the host's programs: sets the group up, runs the program, writes down its
# status and ends the machine. Its own complaints go to the console.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
job=/run/hemi-guest

# Ends QEMU at once (isa-debug-exit); where there is no /dev/port, by powering off.
end() {
    printf '\001' | dd of=/dev/port bs=1 seek=244 2>/dev/null
    echo o >/proc/sysrq-trigger
    while :; do sleep 60; done
}

port() {
    for port in /sys/class/virtio-ports/*; do
        if [ "$(cat "$port/name")" = "$1" ]; then
            echo "/dev/${port##*/}"
            return
        fi
    done
    echo "hemi-guest: no port $1" >&2
    echo /dev/console
}

ulimit -c 0
ip link set lo up 2>/dev/null || ifconfig lo up
. "$job/shares.sh"
# With -x: the console tells how far it came.
if ! /bin/sh -ex "$job/set-up.sh"; then
    echo set-up >"$job/phase"
    end
fi
echo running >"$job/phase"
# One open each: a port has room for one file description, which children inherit.
exec 3>"$(port hemi.out)" 4>"$(port hemi.err)"
/bin/sh "$job/program.sh" </dev/null >&3 2>&4 3>&- 4>&-
echo $? >"$job/status.new"
mv "$job/status.new" "$job/status"
end
