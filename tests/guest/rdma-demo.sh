# What README shows, inside of the guest: the examples `echo` and `latency` over RDMA queue pairs. Every byte is checked by the client.
#
#   cargo run -p hemi-guest -- run --group rdma -- sh tests/guest/rdma-demo.sh FOLDER-OF-THE-EXAMPLES
set -e
examples=$1
[ -x "$examples/echo" ] && [ -x "$examples/latency" ] || {
    echo "usage: rdma-demo.sh FOLDER, with the built examples \`echo\` and \`latency\` in it (target/release/examples)" >&2
    exit 2
}
short="--rounds 2 --duration 1 --warm-up 0.5"

# DEVICE-OF-THE-SERVER ITS-ADDRESS DEVICE-OF-THE-CLIENT ITS-ADDRESS WHAT
compare() {
    echo "== $5"
    "$examples/echo" --net "rdma:$1?ip=$2" --tcp "$2:7000" --framed &
    server=$!
    sleep 3
    HEMI_NET="rdma:$3?ip=$4" "$examples/latency" --role client --peer "$2:7000" --client hemi --transport units --sizes 64,60000 $short
    kill $server
    wait $server
}
compare rxe0 10.77.0.1 rxe0 10.77.0.1 "a link that loses nothing"
compare rxe1 10.78.0.1 rxe2 10.78.0.2 "a wire that loses 3 % each way"
