# Installs packages on a tree, and keeps what that changes. Arguments: where, the tree, the packages. Runs in namespaces of its own.
tree=$1 base=$2
shift 2
folder=$(dirname "$tree")
mkdir -p "$tree" "$folder/work" "$folder/root"
mount --make-rprivate /
mount -t overlay layer -o "lowerdir=$base,upperdir=$tree,workdir=$folder/work" "$folder/root"
root=$folder/root
mount -t proc proc "$root/proc"
mount -t tmpfs tmpfs "$root/run"
mount --rbind /dev "$root/dev"
cp /etc/resolv.conf "$root/etc/resolv.conf"
cp /etc/hosts "$root/etc/hosts"
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod 755 "$root/usr/sbin/policy-rc.d"
chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin apt-get update -qq 1>&2
chroot "$root" env PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" 1>&2
chroot "$root" apt-get clean
# What Debian enables at once, and what cannot run without settings, hardware or kernel modules of its own.
for unit in ceph-mon.service ceph-mgr.service ceph-mds.service ceph-osd.service nvmf-autoconnect.service nvmefc-boot-connections.service dnsmasq.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
rm -rf "$root/etc/resolv.conf" "$root/etc/hosts" "$root/usr/sbin/policy-rc.d" "$root"/var/lib/apt/lists/*
umount -R "$root"
rm -rf "$folder/work" "$folder/root"
