//! One attempt: a request to a receiver, and what its answer means.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Response, StatusCode, header};

use super::guard::Guard;
use super::reach::{Reach, told};

/// How much of an answer is read, in bytes. It says nothing that counts; a connection can only be used again when it is
/// read to its end.
const ANSWER_MAX: usize = 4 << 10;

/// What is sent.
#[derive(Clone, Debug)]
pub struct Message {
    /// The headers.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// What came of an attempt that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The status of the answer, if there was one.
    pub status: Option<u16>,
    /// Why, for people.
    pub reason: String,
    /// How long the receiver asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub(super) fn of(reason: impl Into<String>) -> Self {
        Self { status: None, reason: reason.into(), retry_after: None }
    }
}

/// Sends messages. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Post(Reach);

impl Post {
    /// Prepares connections; opens none. What stands in the way is told by each attempt that it concerns.
    #[must_use]
    pub fn new(guard: Guard, timeout: Duration, ca_file: Option<&Path>) -> Self {
        Self(Reach::new(guard, timeout, ca_file))
    }

    /// Sends a message and waits for the answer; returns its status.
    ///
    /// # Errors
    /// The receiver may not be reached, is not reached, or answers with anything but 2xx.
    pub async fn send(&self, url: &str, message: Message) -> Result<u16, Failure> {
        let (url, client) = self.0.to(url).map_err(Failure::of)?;
        let mut request = client.post(url).body(message.body);
        for (name, value) in message.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|error| Failure::of(told(&error, "the receiver")))?;
        let status = response.status();
        let failure = judge(&response);
        drain(response).await;
        match failure {
            None => Ok(status.as_u16()),
            Some(failure) => Err(failure),
        }
    }
}

/// What an answer means; `None` if the event was taken.
fn judge(response: &Response) -> Option<Failure> {
    let status = response.status();
    if status.is_success() {
        return None;
    }
    let name = status.canonical_reason().unwrap_or("no known status");
    let more = if status.is_redirection() { "; redirects are not followed" } else { "" };
    let waits = matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    let seconds = response.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Some(Failure {
        status: Some(status.as_u16()),
        reason: format!("the receiver answered {} ({name}){more}", status.as_u16()),
        retry_after: seconds.filter(|_| waits).map(Duration::from_secs),
    })
}

/// Reads an answer to its end, if that is near; else the connection is not used again.
async fn drain(mut response: Response) {
    let mut read = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        read += chunk.len();
        if read > ANSWER_MAX {
            return;
        }
    }
}
