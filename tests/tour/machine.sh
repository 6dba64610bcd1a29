#!/bin/sh
# Becomes a machine: process 1 of namespaces of its own, on a file system that begins as
# a copy of this machine's and is gone with it. Started by machines.py, with root, as
#   machine.sh NAME FOLDER TREES SOURCE
# FOLDER: has "given", with a key and the names of hosts, and an empty "disk". TREES: a
# folder that all machines have as /opt/assay-versions. SOURCE: a repository, as
# /mnt/assay.
set -e
name=$1 folder=$2 trees=$3 source=$4
mount --make-rprivate /
# In memory: on the disk it would lie below itself.
mount -t tmpfs -o mode=755 tmpfs "$folder/disk"
cd "$folder/disk"
mkdir new work root
mount -t overlay overlay -o lowerdir=/,upperdir=new,workdir=work root
cd root
mkdir -p opt/assay-versions mnt/assay
mount --bind "$trees" opt/assay-versions
mount --bind "$source" mnt/assay
mount -t proc proc proc
# What is the kernel's is all machines'.
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs dev
for device in null zero full random urandom tty; do
  touch "dev/$device"
  mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount -t tmpfs -o mode=1777 tmpfs dev/shm
for number in 0 1 2; do ln -s "/proc/self/fd/$number" "dev/std$number"; done
mv dev/std0 dev/stdin; mv dev/std1 dev/stdout; mv dev/std2 dev/stderr
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
# What a machine that was set up this minute has not, whatever this one has.
: > etc/machine-id
rm -rf etc/assay opt/assay usr/local/bin/assay etc/systemd/system/*.wants
rm -f lib/systemd/system/multi-user.target.wants/getty.target
rm -rf var/lib/assay var/lib/postgresql/* etc/postgresql/* var/lib/rabbitmq/* etc/rabbitmq/*
rm -rf usr/sbin/policy-rc.d root/.ssh etc/nginx/sites-enabled/* var/log/journal
cat "$folder/given/hosts" > etc/hosts
echo "$name" > etc/hostname
hostname "$name"
mkdir -p -m 700 root/.ssh
cp "$folder/given/id" root/.ssh/id_ed25519
cp "$folder/given/id.pub" root/.ssh/authorized_keys
echo "StrictHostKeyChecking accept-new" > root/.ssh/config
chmod 600 root/.ssh/*
mkdir before
pivot_root . before
umount -l /before
rmdir /before
exec env -i container=assay-tour PATH=/usr/sbin:/usr/bin:/sbin:/bin \
  /lib/systemd/systemd --unit=multi-user.target --show-status=no --log-target=journal
