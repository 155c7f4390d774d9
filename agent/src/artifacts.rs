//! Bytes of scripts on this host, known by their digest: fetched from the manager once, in pieces if need be, and kept
//! within a limit (design §5, spec/hooks.md §10).

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use hostler_common::script::{Digest, SCRIPT_LIMIT};
use hostler_proto::v1;
use hostler_proto::v1::artifacts_client::ArtifactsClient;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;

use crate::attempts::{Attempts, Broken};
use crate::files::{make_folder, sync_folder, write_synced};

/// The most bytes that are kept.
const CACHE_MAX: u64 = 64 << 20;

/// What is kept.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    max: u64,
}

impl Cache {
    /// That of the agent of `state_dir`.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let folder = state_dir.join("scripts");
        make_folder(&folder)?;
        Ok(Self { folder, max: CACHE_MAX })
    }

    /// Where something is, or would be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.to_string())
    }

    fn part(&self, digest: &Digest) -> PathBuf {
        self.folder.join(format!("{digest}.part"))
    }

    /// Whether it is here; then it is among the last to go. Whoever uses it checks it once more.
    #[must_use]
    pub fn has(&self, digest: &Digest) -> bool {
        let file = OpenOptions::new().append(true).open(self.path(digest));
        file.and_then(|file| file.set_modified(SystemTime::now())).is_ok()
    }

    /// Keeps bytes whose digest was checked, and lets go of what was not used for the longest time; never of `wanted`.
    fn keep(&self, digest: &Digest, bytes: &[u8], wanted: &BTreeSet<Digest>) -> io::Result<()> {
        let fresh = self.folder.join(format!("{digest}.new"));
        write_synced(&fresh, bytes)?;
        std::fs::rename(&fresh, self.path(digest))?;
        sync_folder(&self.folder)?;
        self.shrink(digest, wanted)
    }

    fn shrink(&self, newest: &Digest, wanted: &BTreeSet<Digest>) -> io::Result<()> {
        let mut kept = Vec::new();
        for entry in std::fs::read_dir(&self.folder)?.flatten() {
            let data = entry.metadata()?;
            kept.push((data.modified()?, entry.path(), data.len()));
        }
        kept.sort();
        let mut total: u64 = kept.iter().map(|(_, _, len)| len).sum();
        for (_, path, len) in kept {
            if total <= self.max {
                break;
            }
            let digest = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            if !digest.is_some_and(|digest| digest == *newest || wanted.contains(&digest)) {
                std::fs::remove_file(path)?;
                total -= len;
            }
        }
        Ok(())
    }

    /// Fetches something over whatever link there is, for at most `patience`. Only one may fetch the same thing at a time.
    ///
    /// # Errors
    /// Why it cannot be had, for people.
    pub async fn fetch(
        &self,
        digest: Digest,
        link: watch::Receiver<Option<Channel>>,
        patience: Duration,
        wanted: &BTreeSet<Digest>,
    ) -> Result<(), String> {
        let mut attempts = Attempts::new(link);
        let fetching = async {
            loop {
                let channel = attempts.next().await?;
                match self.attempt(&digest, channel, wanted).await {
                    Ok(()) => return Ok(()),
                    Err(broken) => attempts.failed(broken)?,
                }
            }
        };
        let fetched = tokio::time::timeout(patience, fetching).await;
        fetched.unwrap_or_else(|_| Err(format!("script {digest} could not be fetched: {}", attempts.last)))
    }

    async fn attempt(&self, digest: &Digest, channel: Channel, wanted: &BTreeSet<Digest>) -> Result<(), Broken> {
        let part = self.part(digest);
        let have = std::fs::metadata(&part).map_or(0, |data| data.len());
        let request = v1::FetchRequest { sha256: digest.0.to_vec(), offset: have };
        let answer = ArtifactsClient::new(channel).fetch(request).await?;
        let mut chunks = answer.into_inner();
        let (mut file, mut len) = (open_part(&part)?, have);
        let mut total = None;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk?;
            len += chunk.data.len() as u64;
            if chunk.total.max(len) > SCRIPT_LIMIT as u64 {
                self.drop_part(digest);
                return Err(Broken::Hopeless(format!("script {digest} has more than {SCRIPT_LIMIT} bytes")));
            }
            total = Some(chunk.total);
            file.write_all(&chunk.data)?;
        }
        if total.is_some_and(|total| len < total) {
            return Err(Broken::Again("the manager stopped in the middle".into()));
        }
        let bytes = std::fs::read(&part)?;
        self.drop_part(digest);
        if Digest(Sha256::digest(&bytes).into()) != *digest {
            let reason = format!("what the manager sent for script {digest} has another digest");
            // What was there from an earlier attempt may have been spoilt.
            return Err(if have > 0 { Broken::Again(reason) } else { Broken::Hopeless(reason) });
        }
        Ok(self.keep(digest, &bytes, wanted)?)
    }

    fn drop_part(&self, digest: &Digest) {
        std::fs::remove_file(self.part(digest)).ok();
    }
}

fn open_part(part: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_for_long_goes_first_and_what_is_wanted_stays() {
        let dir = tempfile::tempdir().unwrap();
        let mut cache = Cache::open(dir.path()).unwrap();
        cache.max = 250;
        let digest = |n| Digest([n; 32]);
        let wanted = BTreeSet::from([digest(1)]);
        for n in 1..=2 {
            cache.keep(&digest(n), &[n; 100], &wanted).unwrap();
            let file = File::open(cache.path(&digest(n))).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(n))).unwrap();
        }
        assert!(!cache.has(&digest(9)));
        cache.keep(&digest(3), &[3; 100], &wanted).unwrap();
        let here: Vec<u8> = (1..=3).filter(|n| cache.path(&digest(*n)).exists()).collect();
        assert_eq!(here, [1, 3]);
        assert_eq!(std::fs::read(cache.path(&digest(3))).unwrap(), [3; 100]);
    }
}
