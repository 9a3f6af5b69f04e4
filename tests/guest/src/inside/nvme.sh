# The driver finds the namespaces in the background and numbers its devices as they come, so they get names by what they are:
#
#   /dev/hemi-blocks   namespace 1: blocks of 4 KiB
#   /dev/hemi-small    namespace 2: blocks of 512 bytes
#   /dev/hemi-zones    namespace 3: zones of 4 MiB, 3 MiB of each usable; blocks of 4 KiB
tries=0
until [ -e /dev/hemi-blocks ] && [ -e /dev/hemi-small ] && [ -e /dev/hemi-zones ]; do
    tries=$((tries + 1))
    [ $tries -lt 600 ] || { echo "hemi-guest: not all of the three namespaces are there" >&2; ls /dev >&2; exit 1; }
    for disk in /sys/block/nvme0n*; do
        [ -e "$disk/nsid" ] || continue
        generic=ng${disk##*/nvme}
        [ -c "/dev/$generic" ] || continue
        case $(cat "$disk/nsid") in
            1) ln -sf "$generic" /dev/hemi-blocks ;;
            2) ln -sf "$generic" /dev/hemi-small ;;
            3) ln -sf "$generic" /dev/hemi-zones ;;
        esac
    done
    sleep 0.1
done
