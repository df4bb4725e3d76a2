# In the guest, as root of nothing but itself: SECTORS, PRELOAD and SEED come first. /dev/ubda is the disk, /dev/ubdb its log.
set -u
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DM_DISABLE_UDEV=1 MILEPOST_BIN_DIR=/mnt RUST_BACKTRACE=1
fail() { echo "FAILED: $*"; exit 1; }

modules=/usr/lib/uml/modules/$(busybox uname -r)/kernel/drivers
for module in md/dm-mod md/dm-log-writes block/loop; do
    busybox insmod "$modules/$module.ko" || fail "module $module is missing: apt-get install --reinstall user-mode-linux"
done
dmsetup create log --table "0 $SECTORS log-writes /dev/ubda /dev/ubdb" || fail "no logged disk (apt-get install dmsetup)"
busybox mkdir -p /run/disk
busybox mount -t ext4 /dev/mapper/log /run/disk || fail "the disk does not mount"
LD_PRELOAD=$PRELOAD /mnt/power-cut drive || fail "the run"
busybox umount /run/disk && dmsetup remove log || fail "the log does not end"
# The kernel looked for partitions in it before it was a log.
busybox blockdev --flushbufs /dev/ubdb || fail "the log stays in memory"
/mnt/power-cut inspect "$SEED" >/mnt/tally.json || fail "the cuts"
