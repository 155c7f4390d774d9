# Makes the tree of Debian that hosts boot from. Argument: where.
tree=$1
include=systemd,systemd-sysv,dbus,iproute2,iputils-ping,nftables,procps,ca-certificates,netcat-openbsd,curl,udev,python3-minimal
mmdebstrap --quiet --variant=minbase --include="$include" --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' bookworm "$tree" 1>&2
cd "$tree"
echo uninitialized >etc/machine-id
rm -f etc/hostname etc/resolv.conf var/cache/apt/*.bin
rm -rf var/cache/apt/archives/*.deb
ln -s /lib/systemd/system/systemd-networkd.service etc/systemd/system/multi-user.target.wants/systemd-networkd.service
# What waits for things that never come here, or fails for want of a capability and makes the host "degraded".
for unit in systemd-networkd-wait-online.service getty@.service console-getty.service getty.target apt-daily.timer apt-daily-upgrade.timer \
    dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer nftables.service systemd-udevd.service systemd-udevd-kernel.socket \
    systemd-udevd-control.socket systemd-udev-trigger.service; do
    ln -sf /dev/null "etc/systemd/system/$unit"
done
# nspawn given a network namespace leaves four things undone.
cat >usr/sbin/labinit <<'INIT'
#!/bin/sh
mount --make-rprivate /
# Without a sysfs of its own, the host would see the links of the machine.
mkdir -p /run/sys
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs /run/sys
mount --move /sys/fs/cgroup /run/sys/fs/cgroup
mount --move /run/sys /sys
# Limits of units do nothing where the groups are read-only.
for hierarchy in /sys/fs/cgroup/*/; do
    mount -o remount,rw,bind "${hierarchy%/}" 2>/dev/null
done
mount --bind /proc/sys/net /proc/sys/net && mount -o remount,rw,bind /proc/sys/net
exec /lib/systemd/systemd
INIT
chmod 755 usr/sbin/labinit
