//! Which files are wanted, and what becomes of them: rows, steps of history, and a session that is told to look.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use hostler_common::id::SessionId;
use hostler_core::machine::{Input, Machine as _};
use hostler_core::maintenance::row::{StepBegun, StepEnded, StepKind, StepState};
use hostler_core::maintenance::session::{Session, Stage};
use hostler_core::maintenance::spec::Download;
use hostler_core::maintenance::state::{Reason, State};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use uuid::{Builder, Uuid};

use super::fetch::{Client, Have, Trouble};
use super::folder::Folder;
use super::folder_of;
use crate::config::Config;
use crate::engine::{Engine, SessionDomain};
use crate::store::Result;
use crate::store::machine::machine_find;
use crate::store::maintenance::{
    DownloadRow, DownloadState, Filter, download_put, download_rows, download_wanted, session_list, step_put_all,
};

/// The longest time without a look at the rows.
const POLL: Duration = Duration::from_secs(5);

/// How often it is looked for files that nobody wants any more.
const TIDY: Duration = Duration::from_secs(3600);

/// How many files are fetched at once.
const AT_ONCE: usize = 4;

/// How long to wait before each further attempt.
const PAUSES: [Duration; 4] =
    [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(15), Duration::from_secs(60)];

/// Fetches the files of sessions. Cheap to clone.
#[derive(Clone)]
pub struct Downloads {
    engine: Engine,
    client: Client,
    folder: Arc<Folder>,
}

/// A file that is wanted.
#[derive(Clone, Debug)]
struct Wanted {
    session: SessionId,
    place: u32,
    file: Download,
    /// How often it was begun before, and whether the last time has no end.
    before: (u32, bool),
}

impl Wanted {
    /// The name of a step of history.
    fn key(&self, attempt: u32) -> Uuid {
        let hash = Sha256::digest(format!("download {} {} {attempt}", self.session, self.place));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash[..16]);
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

impl Downloads {
    /// Prepares downloads by those settings; opens no connection.
    #[must_use]
    pub fn new(engine: Engine, config: &Config) -> Self {
        let folder = Folder::new(folder_of(&config.state_dir));
        Self { engine, client: Client::new(config.maintenance.clone()), folder: Arc::new(folder) }
    }

    /// Fetches what sessions want, until `stop`. What is on its way then is taken up where it ended.
    pub async fn run(&self, stop: CancellationToken) {
        let mut tidied: Option<tokio::time::Instant> = None;
        loop {
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = self.fetch_wanted() => done,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "files of sessions cannot be fetched");
            }
            if tidied.is_none_or(|last| last.elapsed() > TIDY) {
                tidied = Some(tokio::time::Instant::now());
                self.tidy().await;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.engine.wake.downloads_wanted() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Fetches everything that is wanted now and tells the sessions; returns how many files there were.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn fetch_wanted(&self) -> Result<usize> {
        let wanted = self.wanted().await?;
        let count = wanted.len();
        let mut fetching = futures::stream::iter(wanted).map(|one| self.one(one)).buffer_unordered(AT_ONCE);
        let mut broken = None;
        while let Some(done) = fetching.next().await {
            if let Err(error) = done {
                broken = Some(error);
            }
        }
        broken.map_or(Ok(count), Err)
    }

    async fn wanted(&self) -> Result<Vec<Wanted>> {
        let mut connection = self.engine.store.read().await?;
        let first = Filter { state: Some(State::Maintenance), ..Filter::default() };
        let mut wanted = Vec::new();
        for row in session_list(&mut connection, &first).await? {
            if row.spec.download.is_empty() {
                continue;
            }
            let found = machine_find::<Session>(&mut connection, Session::KIND, &row.id.to_string()).await?;
            let Some(session) = found.map(|found| found.machine).filter(|one| one.stage == Stage::Fetching) else {
                continue;
            };
            let rows = download_rows(&mut connection, row.id).await?;
            let mut begun: BTreeMap<u32, DownloadRow> = rows.into_iter().map(|row| (row.place, row)).collect();
            for (place, file) in (0..).zip(row.spec.download) {
                let before = match begun.remove(&place) {
                    None => (0, false),
                    Some(row) if row.is_settled(session.since) => continue,
                    Some(row) => (row.attempts, row.state == DownloadState::Fetching),
                };
                wanted.push(Wanted { session: row.id, place, file, before });
            }
        }
        Ok(wanted)
    }

    async fn one(&self, wanted: Wanted) -> Result<()> {
        let attempt = wanted.before.0 + 1;
        self.begin(&wanted, attempt).await?;
        let end = self.fetch(&wanted.file).await;
        if let Err(reason) = &end {
            tracing::warn!(session = %wanted.session, file = wanted.file.name, %reason.text, "a file cannot be had");
        }
        self.end(&wanted, attempt, end).await?;
        let look = Input::Timer("downloads".into());
        self.engine.input::<SessionDomain>(&wanted.session.to_string(), look, None).await.map(drop)
    }

    async fn fetch(&self, file: &Download) -> std::result::Result<Have, Reason> {
        let mut pauses = PAUSES.into_iter();
        loop {
            match self.client.fetch(file, &self.folder).await {
                Ok(have) => return Ok(have),
                Err(Trouble::Final(reason)) => {
                    let text = format!("{}: {}", file.name, reason.text);
                    return Err(Reason { text, ..reason });
                }
                Err(Trouble::Passing(text)) => match pauses.next() {
                    None => return Err(Reason::new("download.unreachable", format!("{}: {text}", file.name))),
                    Some(pause) => {
                        tracing::info!(file = file.name, text, "a file is tried again");
                        tokio::time::sleep(pause).await;
                    }
                },
            }
        }
    }

    async fn begin(&self, wanted: &Wanted, attempt: u32) -> Result<()> {
        let now = self.engine.clock.now();
        let row = DownloadRow {
            place: wanted.place,
            state: DownloadState::Fetching,
            digest: None,
            size: None,
            reason: None,
            attempts: attempt,
            since: now,
        };
        let step = StepBegun {
            key: wanted.key(attempt),
            host: None,
            instance: None,
            kind: StepKind::Download,
            name: wanted.file.name.clone(),
            attempt,
            job: None,
            input: json!({ "url": wanted.file.url, "sha256": wanted.file.sha256 }),
        };
        // The manager ended while it was on its way.
        let lost = wanted.before.1.then(|| StepEnded {
            key: wanted.key(wanted.before.0),
            state: StepState::Cancelled,
            result: Value::Null,
            error: Some(Reason::new("download.interrupted", "the manager ended meanwhile".to_owned())),
        });
        let (session, ended): (_, Vec<StepEnded>) = (wanted.session, lost.into_iter().collect());
        let write = self.engine.store.write(move |tx| {
            Box::pin(async move {
                download_put(tx, session, &row).await?;
                step_put_all(tx, session, (&[step], &ended), None, now).await
            })
        });
        write.await
    }

    async fn end(&self, wanted: &Wanted, attempt: u32, end: std::result::Result<Have, Reason>) -> Result<()> {
        let now = self.engine.clock.now();
        let (state, have, reason) = match end {
            Ok(have) => (DownloadState::Verified, Some(have), None),
            Err(reason) => (DownloadState::Failed, None, Some(reason)),
        };
        let row = DownloadRow {
            place: wanted.place,
            state,
            digest: have.map(|have| have.digest),
            size: have.map(|have| have.size),
            reason: reason.clone(),
            attempts: attempt,
            since: now,
        };
        let step = StepEnded {
            key: wanted.key(attempt),
            state: if have.is_some() { StepState::Done } else { StepState::Failed },
            result: have.map_or(Value::Null, |have| json!({ "sha256": have.digest, "size": have.size })),
            error: reason,
        };
        let session = wanted.session;
        let write = self.engine.store.write(move |tx| {
            Box::pin(async move {
                download_put(tx, session, &row).await?;
                step_put_all(tx, session, (&[], &[step]), None, now).await
            })
        });
        write.await
    }

    /// Removes files that nobody wants any more.
    async fn tidy(&self) {
        let wanted = async { download_wanted(&mut *self.engine.store.read().await?).await };
        let wanted = match wanted.await {
            Ok(wanted) => wanted,
            Err(error) => return tracing::warn!(%error, "it is not known which files are wanted"),
        };
        let folder = Arc::clone(&self.folder);
        match tokio::task::spawn_blocking(move || folder.prune(&wanted)).await {
            Ok(Ok(0)) | Err(_) => {}
            Ok(Ok(removed)) => tracing::info!(removed, "files of sessions that are gone were removed"),
            Ok(Err(error)) => tracing::warn!(%error, "files of sessions cannot be removed"),
        }
    }
}
