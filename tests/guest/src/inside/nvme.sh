# The namespaces are found by the driver in the background.
tries=0
until [ -e /dev/ng0n1 ] && [ -e /dev/ng0n2 ] && [ -e /dev/ng0n3 ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo "hemi-guest: no /dev/ng0n1..3" >&2; ls /dev >&2; exit 1; }
    sleep 0.1
done
