//! As whom, and by which configuration, a cluster is asked.

use std::path::PathBuf;

/// As whom, and by which configuration, a cluster is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// The configuration file; `None` means that of `CEPH_CONF`, or `/etc/ceph/ceph.conf`.
    pub conf: Option<PathBuf>,
    /// The user, without `client.`.
    pub user: String,
}

impl Default for Access {
    fn default() -> Self {
        Self { conf: None, user: "admin".into() }
    }
}

impl Access {
    /// The file from which everything else is found.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        let default = || std::env::var_os("CEPH_CONF").map_or_else(|| "/etc/ceph/ceph.conf".into(), PathBuf::from);
        self.conf.clone().unwrap_or_else(default)
    }

    /// The arguments by which programs of Ceph get it.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--id".to_owned(), self.user.clone()];
        if let Some(conf) = &self.conf {
            arguments.extend(["--conf".to_owned(), conf.display().to_string()]);
        }
        arguments
    }
}
