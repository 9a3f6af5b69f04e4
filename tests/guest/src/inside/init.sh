#!/bin/busybox sh
# The guest's first process, from the initramfs: loads the modules, puts the host's files below a writable layer in memory, and
# hands over to the job's script, which runs with the host's programs.
fail() {
    echo "hemi-guest: init: $*" >/dev/console
    echo o >/proc/sysrq-trigger
    sleep 60
}

/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

for module in /modules/*.ko; do
    insmod "$module" || fail "insmod $module"
done

options=trans=virtio,version=9p2000.L,msize=131072
# Nobody else changes what the cache holds for as long as a run takes.
mount -t 9p -o ro,$options,cache=loose root /host || fail "mount the host's files"
mkdir /layer
mount -t tmpfs tmpfs /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/host,upperdir=/layer/upper,workdir=/layer/work overlay /newroot || fail "overlay"

mount -t proc proc /newroot/proc
mount -o move /sys /newroot/sys
mount -o move /dev /newroot/dev
mkdir -p /newroot/dev/shm /newroot/dev/pts /newroot/tmp /newroot/run
mount -t tmpfs tmpfs /newroot/dev/shm
mount -t devpts devpts /newroot/dev/pts
mount -t tmpfs tmpfs /newroot/run
mkdir /newroot/run/hemi-guest
mount -t 9p -o $options,cache=none job /newroot/run/hemi-guest || fail "mount the job"
exec switch_root /newroot /bin/sh /run/hemi-guest/main.sh
fail "switch_root"
