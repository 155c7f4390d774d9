//! librados as a way to a cluster.

use std::sync::Arc;

use serde_json::Value;

use super::{Access, CephClient, Error, Reply};
use crate::sys::rados::{Cluster, Library, Wake};

/// How long librados may look for a monitor, and wait for the answer to a command, in seconds.
const TIMEOUT: &str = "5";

/// librados. Connects when it is first asked, and anew after a connection that failed.
pub struct Rados {
    library: Arc<Library>,
    access: Access,
    cluster: Option<Cluster>,
    wake: Option<Wake>,
}

impl Rados {
    /// Opens the library.
    ///
    /// # Errors
    /// Why it cannot be used; mostly that it is not installed.
    pub fn load(access: &Access) -> Result<Self, String> {
        let library = Library::open()?;
        Ok(Self { library: Arc::new(library), access: access.clone(), cluster: None, wake: None })
    }

    /// Calls `wake` for each line of the cluster's log, from the next connection on. It is called on a thread of librados and
    /// must be quick.
    #[must_use]
    pub fn waking(mut self, wake: Wake) -> Self {
        self.wake = Some(wake);
        self
    }

    fn connect(&self) -> Result<Cluster, Error> {
        let unknown = |what: &str, errno: i32| Error::Unknown(format!("{what}: {}", super::errno_name(errno)));
        let name = format!("client.{}", self.access.user);
        let mut cluster = Cluster::new(Arc::clone(&self.library), &name).map_err(|errno| unknown("librados", errno))?;
        let file = self.access.file();
        cluster.read_conf(&file).map_err(|errno| unknown(&file.display().to_string(), errno))?;
        for key in ["client_mount_timeout", "rados_mon_op_timeout", "rados_osd_op_timeout"] {
            cluster.set(key, TIMEOUT).map_err(|errno| unknown(key, errno))?;
        }
        cluster.connect().map_err(|errno| unknown("no connection", errno))?;
        if let Some(wake) = &self.wake {
            // Without it the poll still comes.
            cluster.monitor(Arc::clone(wake)).ok();
        }
        Ok(cluster)
    }
}

impl CephClient for Rados {
    fn send(&mut self, command: &Value, input: &[u8]) -> Result<Reply, Error> {
        let mut cluster = match self.cluster.take() {
            Some(cluster) => cluster,
            None => self.connect()?,
        };
        let answer = cluster.mon_command(&command.to_string(), input);
        match answer {
            Err((errno, status)) if errno == nix::libc::ETIMEDOUT || errno == nix::libc::ENOTCONN => {
                // The library finds other monitors by itself; a new connection also finds a changed configuration. This one
                // is dropped.
                return Err(Error::Unknown(if status.is_empty() { "no monitor answers".into() } else { status }));
            }
            answer => {
                self.cluster = Some(cluster);
                answer
            }
        }
        .map(|(output, status)| Reply { output, status })
        .map_err(|(errno, message)| Error::Refused { errno, message })
    }
}

impl std::fmt::Debug for Rados {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rados").field("access", &self.access).field("connected", &self.cluster.is_some()).finish()
    }
}
