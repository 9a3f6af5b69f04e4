# The disk is found in the background.
tries=0
until [ -b /dev/vda ] && [ -e /dev/loop-control ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo "hemi-guest: no /dev/vda" >&2; exit 1; }
    sleep 0.1
done
