//! Pools, images and file systems.

use anyhow::ensure;
use serde_json::Value;

use super::Cluster;
use crate::shell::{self, PATIENCE};

impl Cluster {
    /// Makes a pool of eight placement groups for that application (`rbd`, `cephfs`, ...).
    ///
    /// # Errors
    /// It is refused.
    pub fn pool_create(&self, name: &str, application: &str) -> anyhow::Result<()> {
        self.ceph(&["osd", "pool", "create", name, "8"])?;
        self.ceph(&["osd", "pool", "application", "enable", name, application])?;
        Ok(())
    }

    /// Makes an image of that many MiB in a pool that is there.
    ///
    /// # Errors
    /// It is refused.
    pub fn rbd_create(&self, pool: &str, image: &str, mebibytes: u32) -> anyhow::Result<()> {
        self.rbd(&["create", "--size", &mebibytes.to_string(), &format!("{pool}/{image}")])?;
        Ok(())
    }

    /// Runs `rbd` with these words; gives its JSON where `--format json` is among them.
    ///
    /// # Errors
    /// It does not succeed.
    pub fn rbd(&self, words: &[&str]) -> anyhow::Result<Value> {
        let text = shell::run(self.command("timeout").args(["-k", "1", "60", "rbd"]).args(words))?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Makes a file system with two pools of its own, and waits until a metadata server serves it.
    ///
    /// # Errors
    /// It is refused, or no metadata server is there for it.
    pub fn fs_create(&self, name: &str) -> anyhow::Result<()> {
        let (metadata, data) = (format!("{name}_metadata"), format!("{name}_data"));
        self.ceph(&["osd", "pool", "create", &metadata, "8"])?;
        self.ceph(&["osd", "pool", "create", &data, "8"])?;
        self.ceph(&["fs", "new", name, &metadata, &data])?;
        shell::wait(PATIENCE, "a metadata server is active", || {
            let fs = self.ceph(&["fs", "get", name])?;
            let infos = fs["mdsmap"]["info"].as_object().cloned().unwrap_or_default();
            ensure!(infos.values().any(|info| info["state"] == "up:active"), "{}", fs["mdsmap"]["info"]);
            Ok(true)
        })
    }
}
