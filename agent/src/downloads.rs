//! Files on their way from the manager to a place on this host (spec/maintenance.md §5.5): fetched by digest, in pieces if need
//! be, checked, and kept in a folder of the agent until the step that puts them in their place has ended.
//!
//! Must never: fetch what has no place that this host allows, or more bytes than were announced.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use hostler_common::script::Digest;
use hostler_common::step::maintenance::Fetch;
use hostler_proto::v1;
use hostler_proto::v1::artifacts_client::ArtifactsClient;
use nix::sys::statvfs::statvfs;
use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::transport::Channel;

use crate::attempts::{Attempts, Broken};
use crate::files::{make_folder, sync_folder};
use crate::runner::Fitness;

/// How long nothing may come before it is given up.
const STALL: Duration = Duration::from_secs(120);

/// Room that is left to others, in bytes.
const ROOM: u64 = 64 << 20;

/// Permissions that a file may have.
const MODES: u32 = 0o777;

/// The folder, and where its files may go.
#[derive(Clone, Debug)]
pub struct Downloads {
    folder: PathBuf,
    allowed: Vec<PathBuf>,
}

impl Downloads {
    /// That of the agent of `state_dir`, for places below `allowed`.
    ///
    /// # Errors
    /// Its folder cannot be made.
    pub fn open(state_dir: &Path, allowed: &[PathBuf]) -> io::Result<Self> {
        let folder = place(state_dir);
        make_folder(&folder)?;
        Ok(Self { folder, allowed: allowed.to_vec() })
    }

    /// Folders below which files may go.
    #[must_use]
    pub fn allowed(&self) -> &[PathBuf] {
        &self.allowed
    }

    /// Whether the host takes a file, and has it already.
    #[must_use]
    pub fn fitness(&self, fetch: &Fetch) -> Fitness {
        match (check(fetch), below(&fetch.path, &self.allowed)) {
            (Err(reason), _) => Fitness::Refused(reason),
            (_, None) => {
                let path = &fetch.path;
                Fitness::Refused(format!("this host does not allow files at {path} ([allow] paths in its agent.toml)"))
            }
            (Ok(digest), Some(_)) if self.has(&digest, fetch.size) => Fitness::Ready,
            (Ok(_), Some(_)) => Fitness::Wanting,
        }
    }

    fn has(&self, digest: &Digest, size: u64) -> bool {
        // What has that name was checked before it got it.
        fs::metadata(self.folder.join(digest.to_string())).is_ok_and(|data| data.len() == size)
    }

    /// Removes all but `wanted`, pieces included.
    pub fn keep_only(&self, wanted: &BTreeSet<Digest>) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let digest = name.strip_suffix(".part").unwrap_or(&name).parse::<Digest>();
            if !digest.is_ok_and(|digest| wanted.contains(&digest))
                && let Err(error) = fs::remove_file(entry.path())
            {
                tracing::warn!(name, %error, "a fetched file cannot be removed");
            }
        }
    }

    /// Fetches a file over whatever link there is, for at most `patience`. Only one may fetch the same file at a time.
    ///
    /// # Errors
    /// Why it cannot be had, for people.
    pub async fn fetch(
        &self,
        digest: Digest,
        size: u64,
        link: watch::Receiver<Option<Channel>>,
        patience: Duration,
    ) -> Result<(), String> {
        let free = statvfs(&self.folder).map_or(u64::MAX, |info| info.blocks_available() * info.fragment_size());
        let part = self.folder.join(format!("{digest}.part"));
        let have = fs::metadata(&part).map_or(0, |data| data.len());
        if size.saturating_sub(have).saturating_add(ROOM) > free {
            return Err(format!("file {digest} has {size} bytes, and this host has room for {free}"));
        }
        let mut attempts = Attempts::new(link);
        let fetching = async {
            loop {
                let channel = attempts.next().await?;
                match self.attempt(&digest, size, &part, channel).await {
                    Ok(()) => return Ok(()),
                    Err(broken) => attempts.failed(broken)?,
                }
            }
        };
        let fetched = tokio::time::timeout(patience, fetching).await;
        fetched.unwrap_or_else(|_| Err(format!("file {digest} could not be fetched: {}", attempts.last)))
    }

    async fn attempt(&self, digest: &Digest, size: u64, part: &Path, channel: Channel) -> Result<(), Broken> {
        let have = fs::metadata(part).map_or(0, |data| data.len());
        if have < size || size == 0 {
            let request = v1::FetchRequest { sha256: digest.0.to_vec(), offset: have };
            let answer = ArtifactsClient::new(channel).fetch(request).await?;
            let mut chunks = answer.into_inner();
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(part)?;
            let mut len = have;
            let stalled = |_| Broken::Again(format!("nothing came for {} s", STALL.as_secs()));
            while let Some(chunk) = tokio::time::timeout(STALL, chunks.next()).await.map_err(stalled)? {
                let chunk = chunk?;
                len += chunk.data.len() as u64;
                if chunk.total != size || len > size {
                    fs::remove_file(part).ok();
                    return Err(Broken::Hopeless(format!("file {digest} has {} bytes, not {size}", chunk.total)));
                }
                file.write_all(&chunk.data)?;
            }
            file.sync_all()?;
            if len < size {
                return Err(Broken::Again("the manager stopped in the middle".into()));
            }
        }
        let (path, wanted) = (part.to_owned(), *digest);
        // It may be large, and the agent has one thread.
        let found = tokio::task::spawn_blocking(move || digest_of(&path)).await.map_err(io::Error::other)??;
        if found != wanted {
            fs::remove_file(part).ok();
            let reason = format!("what the manager sent for file {digest} has another digest");
            // What was there from an earlier attempt may have been spoilt.
            return Err(if have > 0 { Broken::Again(reason) } else { Broken::Hopeless(reason) });
        }
        fs::rename(part, self.folder.join(digest.to_string()))?;
        Ok(sync_folder(&self.folder)?)
    }
}

/// Where fetched files are until they are in their place.
#[must_use]
pub fn place(state_dir: &Path) -> PathBuf {
    state_dir.join("downloads")
}

/// SHA-256 of a file, however large.
///
/// # Errors
/// It cannot be read.
pub fn digest_of(path: &Path) -> io::Result<Digest> {
    let (mut file, mut hash, mut buffer) = (File::open(path)?, Sha256::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Digest(hash.finalize().into())),
            len => hash.update(&buffer[..len]),
        }
    }
}

/// Checks all of an order but its place; answers with the digest.
///
/// # Errors
/// Why it cannot be meant, for people.
pub fn check(fetch: &Fetch) -> Result<Digest, String> {
    if fetch.mode & !MODES != 0 {
        return Err(format!("mode {:o} is not between 0 and 777", fetch.mode));
    }
    fetch.sha256.parse().map_err(|error| format!("{error}"))
}

/// The allowed folder that a path is below, as it is written: links are looked at by whoever writes there.
#[must_use]
pub fn below<'a>(path: &str, allowed: &'a [PathBuf]) -> Option<&'a Path> {
    let plain = |path: &Path| {
        path.is_absolute() && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
    };
    let file = Path::new(path);
    let fine = plain(file) && !path.ends_with('/') && !path.contains('\0');
    allowed.iter().map(PathBuf::as_path).find(|folder| fine && file.starts_with(folder) && file != *folder)
}

#[cfg(test)]
mod tests;
