//! `Artifacts.Fetch`: hands out the bytes of scripts, and files of maintenance sessions, by their digest, from an offset on
//! (design §5, spec/maintenance.md §5.5).

use hostler_common::script::Digest;
use hostler_proto::v1;
use hostler_proto::v1::artifacts_server::Artifacts;
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::link::{Service, status_of};
use crate::download::{self, Folder};
use crate::store::script::contents_find;

/// How many bytes a chunk has at the most.
const CHUNK: usize = 64 << 10;

/// How many chunks wait for a slow agent.
const AHEAD: usize = 2;

#[tonic::async_trait]
impl Artifacts for Service {
    type FetchStream = ReceiverStream<Result<v1::FetchChunk, Status>>;

    async fn fetch(&self, request: Request<v1::FetchRequest>) -> Result<Response<Self::FetchStream>, Status> {
        let peer = Self::peer(&request)?;
        let who = self.certificate(&peer).await?;
        let asked = request.into_inner();
        let digest: [u8; 32] =
            asked.sha256.try_into().map_err(|_| Status::invalid_argument("a digest has 32 bytes"))?;
        let found = self.fleet.artifact(&who, Digest(digest)).await;
        let bytes = match found {
            Ok(Some(contents)) => contents.into_bytes(),
            Ok(None) => return self.file(&Digest(digest), asked.offset).await,
            Err(error) => return Err(status_of(&error)),
        };
        let from = usize::try_from(asked.offset).ok().filter(|from| *from <= bytes.len());
        let from = from.ok_or_else(short)?;
        let (chunks, stream) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let total = bytes.len() as u64;
            let rest = &bytes[from..];
            // Of an empty rest, too, the agent learns how long the whole is.
            let empty = rest.is_empty().then_some(rest);
            for data in rest.chunks(CHUNK).chain(empty) {
                let chunk = v1::FetchChunk { data: data.to_vec(), total };
                // The agent went away.
                if chunks.send(Ok(chunk)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// The agent has more than there is.
fn short() -> Status {
    Status::out_of_range("the artifact is shorter than that")
}

impl Service {
    /// A file of a session, piece by piece from the disk: it may be larger than the memory.
    async fn file(
        &self,
        digest: &Digest,
        offset: u64,
    ) -> Result<Response<ReceiverStream<Result<v1::FetchChunk, Status>>>, Status> {
        let found = match &self.fleet.files {
            None => None,
            Some(folder) => download::open(folder, digest, offset).await.map_err(|error| {
                tracing::warn!(%digest, %error, "a file cannot be read");
                Status::unavailable("the artifact cannot be read now")
            })?,
        };
        let Some((mut file, total)) = found else {
            return Err(Status::not_found(format!("there is no artifact {digest}")));
        };
        if offset > total {
            return Err(short());
        }
        let (chunks, stream) = mpsc::channel(AHEAD);
        tokio::spawn(async move {
            let mut left = total - offset;
            loop {
                let mut data = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
                let chunk = match file.read_exact(&mut data).await {
                    Ok(_) => Ok(v1::FetchChunk { data, total }),
                    Err(error) => Err(Status::unavailable(format!("the artifact cannot be read: {error}"))),
                };
                left = left.saturating_sub(CHUNK as u64);
                let end = left == 0 || chunk.is_err();
                // The agent went away.
                if chunks.send(chunk).await.is_err() || end {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

impl super::Fleet {
    /// The same fleet, with files of sessions for agents.
    #[must_use]
    pub fn with_files(mut self, files: Folder) -> Self {
        self.files = Some(files);
        self
    }

    /// The contents of that digest, for a host whose certificate counts.
    ///
    /// # Errors
    /// Class `Denied` if it does not; see [`crate::store::Error`].
    pub async fn artifact(
        &self,
        who: &super::accept::HostCertificate,
        digest: Digest,
    ) -> crate::store::Result<Option<String>> {
        let mut connection = self.engine.store.read().await?;
        super::enrol::check_known(&mut connection, who).await?;
        contents_find(&mut connection, &digest).await
    }
}
