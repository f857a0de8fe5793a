#!/bin/sh
# The first process of a machine of `make test-kernels`: mounts what a system has, runs /script, ends.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for place in /dev/shm /run /tmp; do
    mount -t tmpfs -o mode=1777 tmpfs "$place"
done
chmod 755 /run
# A Debian that was only unpacked lacks it.
[ -L /var/run ] || { rm -rf /var/run && ln -s /run /var/run; }
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
modprobe veth
# What the kernel gives its first process is less than the tests use.
ulimit -Hn 524288
ulimit -Sn 20000
cd /project || exit
# shellcheck disable=SC1091 # tests/kernels/run.py writes it
. /script
echo "the end"
echo o >/proc/sysrq-trigger
sleep 60
