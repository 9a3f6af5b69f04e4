# Runs in a guest of the group `rdma`: raw queue pairs, and rdma_cm over IPv4 and IPv6, on the clean link and across the lossy wire.
#
# The programs are not ours, and the lossy wire may take what they cannot do without: a disconnect is one datagram, and soft-RoCE is known to make
# mistakes when it repeats. So every program has a time limit, and every pair of them three tries.

thrice() {
    for try in 1 2 3; do
        if "$@"; then return; fi
        echo "once more: $*" >&2
    done
    return 1
}

# A server that hears of no end is ended by its time limit (124 or 143, by whose `timeout` it is), which is as good.
ended() { # PID
    wait "$1" || case $? in 124 | 143) ;; *) return 1 ;; esac
}

pingpong() { # LISTENING-DEVICE CONNECTING-DEVICE ADDRESS
    timeout 40 ibv_rc_pingpong -d "$1" -g 1 -n 200 >/dev/null &
    server=$!
    for wait in $(seq 300); do
        if ss -Hltn "sport = :18515" | grep -q .; then break; fi
        sleep 0.1
    done
    said=$(timeout 40 ibv_rc_pingpong -d "$2" -g 1 -n 200 "$3") || { wait $server; return 1; }
    ended $server || return 1
    echo "$said" | grep iters
}

ping() { # LISTENING-ADDRESS CONNECTING-ADDRESS
    timeout 40 rping -s -a "$1" -C 50 >/dev/null 2>&1 &
    server=$!
    # Only a try can find out whether somebody listens at an RDMA port.
    for wait in $(seq 150); do
        if timeout 40 rping -c -I "$2" -a "$1" -C 50 2>/dev/null; then
            ended $server || return 1
            echo "rping $1 from $2"
            return
        fi
        sleep 0.2
    done
    wait $server
    return 1
}

lost() { # DEVICE
    tc -s qdisc show dev "$1" | sed -n 's/.*dropped \([0-9]*\).*/\1/p'
}

thrice pingpong rxe0 rxe0 10.77.0.1
thrice pingpong rxe1 rxe2 10.78.0.1
thrice ping 10.77.0.1 10.77.0.1
thrice ping 10.78.0.2 10.78.0.1
thrice ping fd77::1 fd77::1
thrice ping fd78::2 fd78::1
# More than a thousand packets crossed the wire each way: that none was lost has a chance of 0.97^1000.
for device in veth-a veth-b; do
    echo "$device lost $(lost $device)"
    [ "$(lost $device)" -gt 0 ]
done
echo "every link works"
