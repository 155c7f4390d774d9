//! What becomes of data that are held back because they are of another machine (spec/introspection.md §6.1).

use hostler_common::error::Class;
use hostler_common::id::HostId;
use hostler_core::introspection::command::Command;
use hostler_core::machine::{Event, Input};
use serde_json::json;

use super::{Committed, Engine, IntrospectionDomain};
use crate::store::host::host_fetch;
use crate::store::{Error, Result, event, held};

impl Engine {
    /// The host is the machine that the held data are of: they are processed as a run of its introspection.
    ///
    /// # Errors
    /// Class `NotFound` if nothing is held back, `Conflict` while a run is under way; see [`Error`].
    pub async fn identity_accept(
        &self,
        host: HostId,
        actor: &str,
    ) -> Result<Committed<hostler_core::introspection::Introspection>> {
        self.input::<IntrospectionDomain>(&host.to_string(), Input::Command(Command::AcceptIdentity), Some(actor)).await
    }

    /// The held data are not of this host: they are dropped, and the host stays the machine that it was.
    ///
    /// # Errors
    /// Class `NotFound` if nothing is held back; see [`Error`].
    pub async fn identity_discard(&self, host: HostId, actor: &str) -> Result<()> {
        let turn = self.turn(Some(actor));
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    let name = host_fetch(tx, host).await?.name;
                    let Some(info) = held::held_find(tx, host).await? else {
                        return Err(Error::Refused(Class::NotFound, format!("no data of {name} are held back")));
                    };
                    held::held_delete(tx, host).await?;
                    let data = json!({ "known": info.known, "found": info.found });
                    let discarded = Event { kind: "host.identity_discarded", subject: host.to_string(), data };
                    event::event_insert(tx, turn.now, turn.actor.as_deref(), &discarded).await?;
                    Ok(())
                })
            })
            .await?;
        self.wake.changed();
        Ok(())
    }
}
