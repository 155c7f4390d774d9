//! What a write is caused by: from where, and by which request (design §8: every mutation is audited with who, what, from
//! where, outcome).
//!
//! The server says it once around each request. [`super::Store::write`] carries it to wherever the transaction runs, and
//! events that are inserted there take it along; nobody between has to pass it on, so nobody can forget to.

use std::net::IpAddr;

use serde_json::Value;

tokio::task_local! {
    static CAUSE: Cause;
}

/// Where a change comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// The address of the caller, where it is known.
    pub from: Option<IpAddr>,
    /// The id of the request, as the log has it.
    pub request: Option<String>,
}

/// Does `work` for that cause.
pub async fn within<F: Future>(cause: Cause, work: F) -> F::Output {
    CAUSE.scope(cause, work).await
}

/// The cause of what is done at the moment, if there is one: nothing that the manager does by itself has.
pub(super) fn current() -> Option<Cause> {
    CAUSE.try_with(Clone::clone).ok()
}

impl Cause {
    /// Adds it to the particulars of an event, where the event itself does not know better.
    pub(super) fn note(self, data: &mut Value) {
        if data.is_null() {
            *data = Value::Object(serde_json::Map::new());
        }
        let Some(data) = data.as_object_mut() else { return };
        if let Some(from) = self.from {
            data.entry("from").or_insert_with(|| from.to_string().into());
        }
        if let Some(request) = self.request {
            data.entry("request_id").or_insert_with(|| request.into());
        }
    }
}
