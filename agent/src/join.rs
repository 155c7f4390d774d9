//! Joining: exchanges a join token for an identity (design §5).

use std::path::Path;

use hostler_common::join::JoinText;
use hostler_common::text::check_host_name;
use hostler_common::time::{Clock, SystemClock, Timestamp};
use hostler_proto::v1;
use hostler_proto::v1::enrollment_client::EnrollmentClient;

use crate::dial::{dial, tls_by_hash};
use crate::files::make_folder;
use crate::identity::{Identity, fresh_request};

/// Why a host could not join.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The token is none.
    #[error(transparent)]
    Token(#[from] hostler_common::join::NotAJoinToken),
    /// The name is none.
    #[error("--name {name:?} {rule}")]
    Name {
        /// The name.
        name: String,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// It has joined already.
    #[error("this host has joined already, as {name}; to join anew, remove {file} first")]
    Joined {
        /// As whom.
        name: String,
        /// The file that says so.
        file: String,
    },
    /// No manager can be reached.
    #[error("no manager can be reached: {0}")]
    Dial(#[from] crate::dial::Error),
    /// The manager says no.
    #[error("the manager refuses: {0}")]
    Refused(String),
    /// The manager's answer cannot be understood.
    #[error("the manager's answer cannot be understood: {0}")]
    Answer(String),
    /// No key can be made.
    #[error("no key can be made: {0}")]
    Key(#[from] rcgen::Error),
    /// The state directory cannot be used.
    #[error("{path}: {source}")]
    State {
        /// Where.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Joins `managers` as `name` and writes the identity into `state_dir`.
///
/// # Errors
/// See [`Error`]; nothing is written then.
pub async fn join(state_dir: &Path, managers: &[String], token: &str, name: &str) -> Result<Identity, Error> {
    let token_text: JoinText = token.parse()?;
    check_host_name(name).map_err(|rule| Error::Name { name: name.to_owned(), rule })?;
    let state = |source| Error::State { path: state_dir.display().to_string(), source };
    make_folder(state_dir).map_err(state)?;
    if let Some(known) = Identity::load(state_dir).map_err(state)? {
        let file = state_dir.join("identity.json").display().to_string();
        return Err(Error::Joined { name: known.name, file });
    }
    let (key, csr) = fresh_request()?;
    let request = v1::EnrolRequest {
        token: token.trim().to_owned(),
        name: name.to_owned(),
        csr,
        clock_us: SystemClock.now().as_micros(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let answer = enrol(managers, token_text.ca_sha256, request).await?;
    let identity = Identity {
        host: answer.host_id.parse().map_err(|_| Error::Answer("its host id is no UUID".into()))?,
        name: answer.name,
        managers: managers.to_vec(),
        certificate: answer.certificate,
        key,
        ca: answer.ca,
        issued_at: SystemClock.now(),
        expires_at: Timestamp::from_micros(answer.expires_us),
    };
    identity.save(state_dir).map_err(state)?;
    Ok(identity)
}

/// Asks the first manager that can be reached.
async fn enrol(managers: &[String], ca_sha256: [u8; 32], request: v1::EnrolRequest) -> Result<v1::Identity, Error> {
    let mut last = None;
    for address in managers {
        match dial(address, tls_by_hash(ca_sha256)).await {
            Ok(channel) => {
                let answer = EnrollmentClient::new(channel).enrol(request).await;
                return answer
                    .map(tonic::Response::into_inner)
                    .map_err(|status| Error::Refused(status.message().to_owned()));
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| Error::Answer("no manager was named".into()), Error::Dial))
}
