//! A host as a member of a Ceph cluster: its configuration, its keys, its packages.

use super::{File, Host, Options};
use crate::ceph::Cluster;
use crate::shell;

impl Options {
    /// A host with what Ceph's OSDs, monitors and clients need: `ceph`, `rbd`, `ceph-volume` and the units `ceph-*@`.
    #[must_use]
    pub fn for_ceph() -> Self {
        let packages = ["ceph-osd", "ceph-mon", "ceph-mds", "ceph-mgr", "ceph-common", "ceph-fuse", "lvm2"];
        Self { packages: packages.map(str::to_owned).to_vec(), ..Self::default() }
    }
}

impl Host<'_> {
    /// Writes what the host's clients and `ceph-volume` look for: the configuration, the administrator's key and the key that
    /// makes OSDs. The cluster must be in a namespace of the same lab.
    ///
    /// # Errors
    /// The host is off, or the cluster does not answer.
    pub fn use_cluster(&self, cluster: &Cluster) -> anyhow::Result<()> {
        self.write(&File::text("/etc/ceph/ceph.conf", &cluster.client_conf()?))?;
        for (entity, path) in [
            ("client.admin", "/etc/ceph/ceph.client.admin.keyring"),
            ("client.bootstrap-osd", "/var/lib/ceph/bootstrap-osd/ceph.keyring"),
        ] {
            let keyring = shell::run(cluster.command("ceph").args(["auth", "get", entity]))?;
            self.write(&File { path: path.into(), bytes: keyring.into_bytes(), mode: 0o640 })?;
            self.exec(&["chgrp", "ceph", path])?;
        }
        Ok(())
    }
}
