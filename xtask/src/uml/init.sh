#!/bin/sh
# Process 1 of the user-mode kernel (see uml.rs). WORK, a folder of the host, comes from the kernel's command line.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mkdir -p /dev/pts 2>/dev/null
busybox mount -t devpts devpts /dev/pts
busybox mount -t tmpfs run /run
busybox mount -t hostfs none /mnt -o "$WORK"
exec >/mnt/guest.log 2>&1
# Under /mnt the work folder stays writable; the host's own /tmp is not to be seen.
busybox mount -t tmpfs tmp /tmp
modules=/usr/lib/uml/modules/$(busybox uname -r)/kernel
for module in net/can/can drivers/net/can/dev/can-dev net/can/can-raw drivers/net/can/vcan drivers/net/can/slcan/slcan; do
    busybox insmod "$modules/$module.ko" || echo "module $module is missing"
done
ip link set lo up
sh /mnt/script.sh
echo $? >/mnt/code
busybox sync
busybox poweroff -f
