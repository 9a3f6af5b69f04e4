# Runs in a guest of the group `rdma`: raw queue pairs, and rdma_cm over IPv4 and IPv6, on the clean link and across the lossy wire.

# Waits until something listens: a TCP port (pingpong), or an RDMA port that only a try can find (rping).
listens() {
    until ss -Hltn "sport = :$1" | grep -q .; do sleep 0.1; done
}

pingpong() { # LISTENING-DEVICE CONNECTING-DEVICE ADDRESS
    ibv_rc_pingpong -d "$1" -g 1 -n 200 >/dev/null &
    listens 18515
    ibv_rc_pingpong -d "$2" -g 1 -n 200 "$3" | grep iters
    wait $!
}

ping() { # LISTENING-ADDRESS CONNECTING-ADDRESS
    rping -s -a "$1" -C 50 >/dev/null 2>&1 &
    server=$!
    until rping -c -I "$2" -a "$1" -C 50 2>/dev/null; do
        kill -0 $server
        sleep 0.2
    done
    wait $server
    echo "rping $1 from $2"
}

lost() { # DEVICE
    tc -s qdisc show dev "$1" | sed -n 's/.*dropped \([0-9]*\).*/\1/p'
}

pingpong rxe0 rxe0 10.77.0.1
pingpong rxe1 rxe2 10.78.0.1
ping 10.77.0.1 10.77.0.1
ping 10.78.0.2 10.78.0.1
ping fd77::1 fd77::1
ping fd78::2 fd78::1
# More than a thousand packets crossed the wire each way: that none was lost has a chance of 0.97^1000.
for device in veth-a veth-b; do
    echo "$device lost $(lost $device)"
    [ "$(lost $device)" -gt 0 ]
done
echo "every link works"
