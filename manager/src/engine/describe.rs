//! What operators say of a host, recorded together with who said so.

use hostler_common::id::HostId;
use hostler_core::machine::Event;
use serde_json::json;

use super::Engine;
use crate::store::host::{Description, Host, host_describe, host_fetch};
use crate::store::{Result, event};

impl Engine {
    /// Writes what an operator says of a host and returns the host as it is then. The event names what was said anew,
    /// not what: descriptions may be long.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such host; see [`crate::store::Error`].
    pub async fn host_describe(&self, id: HostId, new: Description, actor: &str) -> Result<Host> {
        let turn = self.turn(Some(actor));
        let done = self
            .store
            .write(move |tx| {
                Box::pin(async move {
                    host_fetch(tx, id).await?;
                    host_describe(tx, id, &new).await?;
                    if let Some(event) = described(id, &new) {
                        event::event_insert(tx, turn.now, turn.actor.as_deref(), &event).await?;
                    }
                    host_fetch(tx, id).await
                })
            })
            .await?;
        self.wake.assignments();
        self.wake.changed();
        Ok(done)
    }
}

/// `None` if nothing was said.
fn described(id: HostId, new: &Description) -> Option<Event> {
    let fields = [
        ("description", new.description.is_some()),
        ("labels", new.labels.is_some()),
        ("roles", new.roles.is_some()),
        ("zone", new.zone.is_some()),
    ];
    let names: Vec<&str> = fields.into_iter().filter(|(_, given)| *given).map(|(name, _)| name).collect();
    (!names.is_empty()).then(|| Event {
        kind: "host.described",
        subject: id.to_string(),
        data: json!({ "fields": names }),
    })
}
