//! Plug-ins of operators: a script of the library with a manifest (spec/maintenance.md §5.3).

use hostler_common::error::Class;
use hostler_common::id::ScriptId;
use hostler_core::machine::Event;
use hostler_core::maintenance::plugin::Manifest;
use serde_json::json;

use super::super::Engine;
use crate::store::event::event_insert;
use crate::store::maintenance::{Filter, Plugin, plugin_delete, plugin_put, session_list};
use crate::store::script::script_find;
use crate::store::{Connection, Error, Result};

impl Engine {
    /// Makes a plug-in, or writes it over the one of the manifest's name; sessions under way use it from then on. Who did so is
    /// in the events.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such script; see [`Error`].
    pub async fn plugin_set(&self, script: ScriptId, manifest: Manifest, actor: &str) -> Result<Plugin> {
        let now = self.clock.now();
        let plugin = Plugin { name: manifest.name.clone(), script, manifest, updated_at: now };
        let (kept, actor) = (plugin.clone(), actor.to_owned());
        let written = self.store.write(move |tx| {
            Box::pin(async move {
                if script_find(tx, kept.script).await?.is_none() {
                    let text = format!("there is no script with the number {}", kept.script);
                    return Err(Error::Refused(Class::NotFound, text));
                }
                plugin_put(tx, &kept).await?;
                let data = json!({ "script": kept.script, "version": kept.manifest.version });
                let event = Event { kind: "maintenance.plugin.set", subject: kept.name.clone(), data };
                event_insert(tx, now, Some(&actor), &event).await.map(|_| ())
            })
        });
        written.await?;
        Ok(plugin)
    }

    /// Removes a plug-in; its script stays.
    ///
    /// # Errors
    /// Class `NotFound` if there is none of that name, `Conflict` if a session that is not over uses it; see [`Error`].
    pub async fn plugin_remove(&self, name: &str, actor: &str) -> Result<()> {
        let (name, actor, now) = (name.to_owned(), actor.to_owned(), self.clock.now());
        let written = self.store.write(move |tx| {
            Box::pin(async move {
                unused(tx, &name).await?;
                if !plugin_delete(tx, &name).await? {
                    return Err(Error::Refused(Class::NotFound, format!("there is no plug-in {name}")));
                }
                let event = Event { kind: "maintenance.plugin.removed", subject: name.clone(), data: json!({}) };
                event_insert(tx, now, Some(&actor), &event).await.map(|_| ())
            })
        });
        written.await
    }
}

/// Refuses if a session that is not over uses the plug-in.
async fn unused(tx: &mut Connection, name: &str) -> Result<()> {
    let sessions = session_list(tx, &Filter::default()).await?;
    let uses = sessions
        .iter()
        .find(|row| !row.state.is_terminal() && row.spec.actions.iter().any(|action| action.plugin == name));
    match uses {
        Some(row) => Err(Error::Refused(Class::Conflict, format!("session {} uses the plug-in {name}", row.id))),
        None => Ok(()),
    }
}
