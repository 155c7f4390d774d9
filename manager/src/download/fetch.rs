//! One file: from its URL into the folder, in pieces if need be, and nothing of it is believed before it is whole.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hostler_common::script::Digest;
use hostler_core::maintenance::spec::Download;
use hostler_core::maintenance::state::Reason;
use reqwest::{Response, StatusCode, Url, header, redirect};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _, SeekFrom};

use super::folder::Folder;
use super::{allowed, signed};
use crate::config;

/// How long a connection may take, and how long nothing may come.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a server may send on to another address.
const REDIRECTS: usize = 5;

/// How much of a file with a checksum is read, in bytes.
const SUM_MAX: usize = 16 << 10;

/// How much of a beginning is read in one go, in bytes.
const PIECE: usize = 1 << 18;

/// A file that is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Have {
    /// What it is.
    pub digest: Digest,
    /// Its size, in bytes.
    pub size: u64,
}

/// Why a file is not here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Another attempt would end in the same way.
    Final(Reason),
    /// Another attempt may help; the text is for people.
    Passing(String),
}

fn last(code: &str, text: impl Into<String>) -> Trouble {
    Trouble::Final(Reason::new(code, text.into()))
}

fn passing(error: impl Display) -> Trouble {
    Trouble::Passing(error.to_string())
}

/// Trouble of this machine's disk: another attempt may find room.
fn disk(error: std::io::Error) -> Trouble {
    Trouble::Passing(format!("the file cannot be kept: {error}"))
}

/// What reqwest says, with what lies behind it: its own text names the URL and no cause.
fn told(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

/// Follows servers that send on to where files may come from.
fn policy(rules: Arc<config::Maintenance>) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| match allowed(attempt.url(), &rules) {
        _ if attempt.previous().len() > REDIRECTS => attempt.error("it is sent on too often"),
        Ok(()) => attempt.follow(),
        Err(rule) => attempt.error(format!("it is sent on to a URL that {rule}")),
    })
}

/// Fetches files by the settings' rules. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: Result<reqwest::Client, String>,
    rules: Arc<config::Maintenance>,
}

impl Client {
    /// Prepares connections; opens none. What stands in the way is told by each attempt.
    #[must_use]
    pub fn new(rules: config::Maintenance) -> Self {
        // It fails only when it was done before.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let rules = Arc::new(rules);
        let builder = || {
            reqwest::Client::builder()
                .connect_timeout(PATIENCE)
                .read_timeout(PATIENCE)
                .redirect(policy(Arc::clone(&rules)))
                .referer(false)
                .user_agent(concat!("hostler-manager/", env!("CARGO_PKG_VERSION")))
        };
        // On a machine without certificates, files that come without TLS can still be had.
        let plain = |error| if rules.download_http { builder().tls_certs_only([]).build() } else { Err(error) };
        let http = builder().build().or_else(plain);
        Self { http: http.map_err(|error| format!("TLS cannot be set up: {}", told(&error))), rules }
    }

    async fn get(&self, url: &str, from: u64) -> Result<Response, Trouble> {
        let url: Url = url.parse().map_err(|_| last("download.url", "it is not a URL"))?;
        allowed(&url, &self.rules).map_err(|rule| last("download.url", format!("the URL {rule}")))?;
        let http = self.http.as_ref().map_err(passing)?;
        let mut request = http.get(url);
        if from > 0 {
            request = request.header(header::RANGE, format!("bytes={from}-"));
        }
        request.send().await.map_err(|error| match error.is_redirect() {
            true => last("download.redirect", told(&error)),
            false => Trouble::Passing(told(&error)),
        })
    }

    /// The checksum that lies beside a file: the first word of `<url>.sha256`.
    ///
    /// # Errors
    /// There is none, or it cannot be had now.
    pub async fn checksum(&self, url: &str) -> Result<Digest, Trouble> {
        let (path, query) = url.split_once('?').map_or((url, ""), |(path, query)| (path, query));
        let mark = if query.is_empty() { "" } else { "?" };
        let mut response = self.get(&format!("{path}.sha256{mark}{query}"), 0).await?;
        refused(response.status())?;
        let mut text = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| passing(told(&error)))? {
            text.extend_from_slice(&piece);
            if text.len() > SUM_MAX {
                break;
            }
        }
        let text = String::from_utf8_lossy(&text);
        let word = text.split_ascii_whitespace().next().unwrap_or_default();
        word.parse().map_err(|_| last("download.checksum", "the file <url>.sha256 does not begin with a checksum"))
    }

    /// Fetches a file, unless it is here already.
    ///
    /// # Errors
    /// It cannot be had, or is not what it must be; what was fetched of one that is not is removed.
    pub async fn fetch(&self, file: &Download, folder: &Folder) -> Result<Have, Trouble> {
        folder.make().map_err(disk)?;
        let expected = match &file.sha256 {
            Some(text) => Some(text.parse().map_err(|_| last("download.checksum", "it is no checksum"))?),
            None if file.unchecked => None,
            None => Some(self.checksum(&file.url).await?),
        };
        if let Some(have) = expected.and_then(|digest| Some(Have { digest, size: folder.size(&digest)? })) {
            return self.judge(file, have, expected);
        }
        let part = folder.part(&file.url);
        let have = match self.stream(file, &part, expected.is_some()).await {
            Ok(have) => self.judge(file, have, expected),
            Err(trouble) => Err(trouble),
        };
        match have {
            Ok(have) => folder.keep(&part, &have.digest).map_err(disk).map(|()| have),
            Err(trouble @ Trouble::Final(_)) => {
                tokio::fs::remove_file(&part).await.ok();
                Err(trouble)
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Brings the beginning of a file to its end.
    async fn stream(&self, file: &Download, part: &Path, resume: bool) -> Result<Have, Trouble> {
        if !resume {
            tokio::fs::remove_file(part).await.ok();
        }
        let (mut hash, mut size) = beginning(part).await.map_err(disk)?;
        let mut response = self.get(&file.url, size).await?;
        if size > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
            // What is there is of another file, or already all of it, or the server cannot go on in the middle.
            (hash, size) = (Sha256::new(), 0);
            if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
                response = self.get(&file.url, 0).await?;
            }
        }
        refused(response.status())?;
        let most = file.size.unwrap_or(self.rules.download_max_bytes).min(self.rules.download_max_bytes);
        let large = || last("download.size", format!("it has more than {most} bytes"));
        if response.content_length().is_some_and(|rest| size.saturating_add(rest) > most) {
            return Err(large());
        }
        let mut out = File::options().create(true).write(true).truncate(false).open(part).await.map_err(disk)?;
        out.set_len(size).await.map_err(disk)?;
        out.seek(SeekFrom::Start(size)).await.map_err(disk)?;
        while let Some(piece) = response.chunk().await.map_err(|error| passing(told(&error)))? {
            size += piece.len() as u64;
            if size > most {
                return Err(large());
            }
            hash.update(&piece);
            out.write_all(&piece).await.map_err(disk)?;
        }
        out.sync_all().await.map_err(disk)?;
        Ok(Have { digest: Digest(hash.finalize().into()), size })
    }

    fn judge(&self, file: &Download, have: Have, expected: Option<Digest>) -> Result<Have, Trouble> {
        if file.size.is_some_and(|size| size != have.size) {
            return Err(last("download.size", format!("it has {} bytes", have.size)));
        }
        if expected.is_some_and(|digest| digest != have.digest) {
            return Err(last("download.checksum", format!("its SHA-256 is {}", have.digest)));
        }
        match signed(file, &have.digest, &self.rules.download_keys) {
            true => Ok(have),
            false => {
                Err(last("download.signature", "its signature is of none of the keys in maintenance.download_keys"))
            }
        }
    }
}

/// What an answer that is no file means.
fn refused(status: StatusCode) -> Result<(), Trouble> {
    match status {
        status if status.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            Err(passing(format!("the server says {status}")))
        }
        status if status.is_server_error() => Err(passing(format!("the server says {status}"))),
        status => Err(last("download.refused", format!("the server says {status}"))),
    }
}

/// What is there of a file, and how much.
async fn beginning(part: &Path) -> std::io::Result<(Sha256, u64)> {
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut file = match File::open(part).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((hash, 0)),
        file => file?,
    };
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece).await? {
            0 => return Ok((hash, size)),
            count => {
                hash.update(&piece[..count]);
                size += count as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests;
