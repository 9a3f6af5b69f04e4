# Soft-RoCE. Needs iproute2 of the host (ip, tc, rdma).
#
#   rxe0 on dummy0    10.77.0.1/24  fd77::1/64    a link to oneself, nothing is lost
#   rxe1 on veth-a    10.78.0.1/24  fd78::1/64  \ the two ends of one wire; every packet between them crosses it,
#   rxe2 on veth-b    10.78.0.2/24  fd78::2/64  / and each way loses 3 % of them
for program in ip tc rdma; do
    command -v $program >/dev/null || { echo "hemi-guest: no $program on the host (apt-get install iproute2)" >&2; exit 1; }
done

# The module has made one by itself, unless it is built in.
[ -e /sys/class/net/dummy0 ] || ip link add dummy0 type dummy
ip addr add 10.77.0.1/24 dev dummy0
ip -6 addr add fd77::1/64 dev dummy0 nodad
ip link set dummy0 up
rdma link add rxe0 type rxe netdev dummy0

# Packets of 4 KiB: what is smaller is one packet.
ip link add veth-a mtu 9000 type veth peer name veth-b mtu 9000
for end in veth-a veth-b; do
    sysctl -q -w net.ipv4.conf.$end.accept_local=1 net.ipv4.conf.$end.rp_filter=0 net.ipv6.conf.$end.accept_dad=0
done
sysctl -q -w net.ipv4.conf.all.rp_filter=0
ip addr add 10.78.0.1/24 dev veth-a
ip addr add 10.78.0.2/24 dev veth-b
ip -6 addr add fd78::1/64 dev veth-a nodad
ip -6 addr add fd78::2/64 dev veth-b nodad
ip link set veth-a up
ip link set veth-b up
mac() { cat "/sys/class/net/$1/address"; }

# Both addresses are this machine's own: without more, packets between them would never leave it. So what is sent here (iif lo) to the
# one goes out through the other, by a table per device that is asked before the table of the own addresses.
for version in -4 -6; do
    ip $version rule add pref 32000 lookup local
    ip $version rule del pref 0
done
wire() { # VERSION TABLE DEVICE FROM TO MAC-OF-TO
    ip $1 route add "$5" dev "$3" src "$4" table "$2"
    ip $1 rule add pref "$2" iif lo to "$5" lookup "$2"
    # rdma_cm asks for the way back by device, not as a sender, before it accepts a request (IPv6).
    ip $1 rule add pref "$2" oif "$3" to "$5" lookup "$2"
    ip $1 neigh replace "$5" lladdr "$6" dev "$3" nud permanent
}
wire -4 101 veth-a 10.78.0.1 10.78.0.2 "$(mac veth-b)"
wire -4 102 veth-b 10.78.0.2 10.78.0.1 "$(mac veth-a)"
wire -6 101 veth-a fd78::1 fd78::2 "$(mac veth-b)"
wire -6 102 veth-b fd78::2 fd78::1 "$(mac veth-a)"

rdma link add rxe1 type rxe netdev veth-a
rdma link add rxe2 type rxe netdev veth-b
tc qdisc add dev veth-a root netem loss 3%
tc qdisc add dev veth-b root netem loss 3%

# The GID table fills a moment after the device is there; index 1 is RoCE v2 over IPv4.
for device in rxe0 rxe1 rxe2; do
    tries=0
    until grep -q ':ffff:' "/sys/class/infiniband/$device/ports/1/gids/1" 2>/dev/null; do
        tries=$((tries + 1))
        [ $tries -lt 600 ] || { echo "hemi-guest: $device has no GID at index 1" >&2; exit 1; }
        sleep 0.1
    done
done
