//! Server-sent events: answers that go on while something happens.

use std::time::Duration;

use reqwest::Response;

use super::{Call, refusal};
use crate::failure::{Failure, Kind};

/// How long a stream may last; the manager ends it much earlier.
const LIFE_MAX: Duration = Duration::from_secs(86_400);

/// How long nothing may be heard: three times what lies between two signs of life.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// The largest message, in bytes.
const MESSAGE_MAX: usize = 16 << 20;

/// The largest text of a refusal, in bytes.
const REFUSAL_MAX: usize = 1 << 20;

/// One block of a stream. What it does not have is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Where the stream is after it.
    pub id: String,
    /// What it is.
    pub event: String,
    /// What it says.
    pub data: String,
}

/// A stream that is open.
pub struct Messages {
    response: Response,
    read: Vec<u8>,
    doing: String,
}

impl Call<'_> {
    /// Sends it and reads the answer as a stream.
    ///
    /// # Errors
    /// The manager is not reached or refuses.
    pub async fn messages(self) -> Result<Messages, Failure> {
        let doing = self.doing.clone();
        let mut response = self.send("text/event-stream", LIFE_MAX).await?;
        if response.status().is_success() {
            return Ok(Messages { response, read: Vec::new(), doing });
        }
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > REFUSAL_MAX {
                break;
            }
        }
        Err(refusal(&doing, response.status(), response.headers(), &body))
    }
}

impl Messages {
    /// The next message; `None` at the end of the stream, which may be resumed.
    ///
    /// # Errors
    /// The connection broke or fell silent, which is of the kind that passes; or a message is too large.
    pub async fn next(&mut self) -> Result<Option<Message>, Failure> {
        loop {
            if let Some(message) = take(&mut self.read) {
                return Ok(Some(message));
            }
            let lost = |why: &str| Failure::new(Kind::Unreachable, format!("cannot {}", self.doing), why);
            match tokio::time::timeout(SILENCE_MAX, self.response.chunk()).await {
                Err(_) => return Err(lost("the manager fell silent")),
                Ok(Err(error)) => return Err(lost(&format!("the connection broke ({})", super::chain(&error)))),
                Ok(Ok(None)) => return Ok(None),
                Ok(Ok(Some(chunk))) if self.read.len() + chunk.len() > MESSAGE_MAX => {
                    let why = "a message is larger than anything that a manager sends";
                    return Err(Failure::new(Kind::Failed, format!("cannot {}", self.doing), why));
                }
                Ok(Ok(Some(chunk))) => self.read.extend_from_slice(&chunk),
            }
        }
    }
}

/// Takes the first whole message out of what was read. Comments and fields of no interest are skipped.
fn take(read: &mut Vec<u8>) -> Option<Message> {
    loop {
        let end = read.windows(2).position(|pair| pair == b"\n\n")?;
        let block: Vec<u8> = read.drain(..end + 2).collect();
        let mut message = Message::default();
        for line in String::from_utf8_lossy(&block).lines() {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match name {
                "id" => message.id = value.to_owned(),
                "event" => message.event = value.to_owned(),
                "data" if message.data.is_empty() => message.data = value.to_owned(),
                "data" => message.data = format!("{}\n{value}", message.data),
                _ => {}
            }
        }
        if message != Message::default() {
            return Some(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_out_of_what_comes() {
        let mut read =
            b": hello\n\nretry: 2000\nid: 6\n\nid: 7\nevent: a.b\ndata: {\"x\":1}\n\nid: 8\nevent: c".to_vec();
        let message =
            |id: &str, event: &str, data: &str| Message { id: id.into(), event: event.into(), data: data.into() };
        assert_eq!(take(&mut read), Some(message("6", "", "")));
        assert_eq!(take(&mut read), Some(message("7", "a.b", "{\"x\":1}")));
        assert_eq!(take(&mut read), None);
        read.extend_from_slice(b".d\ndata: one\ndata:two\n\n");
        assert_eq!(take(&mut read), Some(message("8", "c.d", "one\ntwo")));
        assert!(read.is_empty());
    }
}
