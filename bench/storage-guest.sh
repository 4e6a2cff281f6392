#!/bin/sh
# Disk throughput in the guest: lines BEGIN/END are timed on the host. In place of the harness's own run-io.sh.
export PATH=/bin
for m in $(cat /lib/modules/order) libahci.ko ahci.ko nvme-core.ko nvme.ko; do insmod /lib/modules/$m 2>/dev/null; done
for i in 1 2 3 4 5 6 7 8 9 10; do
  for D in /dev/vda /dev/sda /dev/nvme0n1; do [ -b $D ] && break 2; done
  sleep 1
done
[ -b $D ] || { echo "no disk"; ls /dev; }
for n in "" -again; do
  echo BEGIN write$n; dd if=/dev/zero of=$D bs=1M count=64 conv=fsync 2>/dev/null; echo END write$n
  echo 3 > /proc/sys/vm/drop_caches
  echo BEGIN read$n; dd if=$D of=/dev/null bs=1M count=64 2>/dev/null; echo END read$n
done
for n in "" -again; do
  echo BEGIN direct-write$n; /direct $D write 1048576 64; echo END direct-write$n
  echo BEGIN direct-read$n; /direct $D read 1048576 64; echo END direct-read$n
  echo BEGIN random-read$n; /direct $D random-read 4096 4096; echo END random-read$n
  echo BEGIN random-write$n; /direct $D random-write 4096 4096; echo END random-write$n
done
