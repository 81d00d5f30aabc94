#!/bin/bash
# Becomes systemd, in namespaces of its own, on a copy of this machine's root that is in memory alone.
#   unshare --fork --pid --mount --uts --ipc --net --cgroup boot.sh FOLDER BIND...
# FOLDER: an empty one; BIND: what is to be seen, too.
set -euo pipefail
folder=$1
shift

mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
mkdir "$folder"/{upper,work,root}
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" "$folder/root"
cd "$folder/root"
mount -t proc proc proc
mount -o bind,ro proc/sys proc/sys
mount --rbind /sys sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs dev -o mode=755
for device in null zero full random urandom tty; do
    touch "dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
ln -s /proc/self/fd dev/fd
mkdir dev/{shm,pts,mqueue,hugepages}
touch dev/log
mount -t devpts devpts dev/pts -o newinstance,ptmxmode=0666
ln -s pts/ptmx dev/ptmx
mount -t tmpfs tmpfs dev/shm
mount -t mqueue mqueue dev/mqueue
for path in "$@"; do
    mkdir -p ".$path"
    mount --rbind "$path" ".$path"
done

# Nothing of this machine is started, and nothing is mounted.
rm -rf {lib,etc}/systemd/system/*.target.wants etc/fstab etc/systemd/system/default.target
printf '[Unit]\nDefaultDependencies=no\n' > etc/systemd/system/test.target

# The rest is done by the commands of docs/systemd.md. The interpreter of the tests may be below a home.
for unit in jobgate jobgate@; do
    mkdir "etc/systemd/system/$unit.service.d"
    {
        printf '[Service]\nProtectHome=tmpfs\n'
        printf 'BindReadOnlyPaths=%s\n' "$@"
    } > "etc/systemd/system/$unit.service.d/test.conf"
done

ip link set lo up
mkdir before
pivot_root . before
cd /
umount -l /before
exec env -i container=other PATH="$PATH" /lib/systemd/systemd --system --unit=test.target --show-status=no
