//! Scripts: every change makes a signed revision that is never changed (spec/hooks.md §4, §10).

use hostler_common::error::Class;
use hostler_common::id::ScriptId;
use hostler_common::script::{Digest, ScriptFault, ScriptRef, check_contents, check_name};
use hostler_core::machine::Event;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::hook::{self, HookChange};
use super::{Failure, Hooks, Result};
use crate::engine::Turn;
use crate::store::hook::{Stored, hook_list};
use crate::store::script::{
    Revision, Script, contents_find, revision_find, revision_insert, revision_list, script_by_name, script_delete,
    script_find, script_insert, script_list, script_number, script_update, verbatim_find,
};
use crate::store::{self, Connection};

/// What shall be different of a script; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScriptChange {
    /// The name.
    pub name: Option<String>,
    /// The contents.
    pub contents: Option<String>,
    /// All of its hooks.
    pub hooks: Option<Vec<HookChange>>,
}

fn refused(class: Class, text: impl Into<String>) -> store::Error {
    store::Error::Refused(class, text.into())
}

fn missing(id: ScriptId) -> store::Error {
    refused(Class::NotFound, format!("there is no script {id}"))
}

/// SHA-256 of contents.
fn digest_of(contents: &str) -> Digest {
    Digest(Sha256::digest(contents.as_bytes()).into())
}

async fn check_free(tx: &mut Connection, name: &str, own: ScriptId) -> store::Result<()> {
    match script_by_name(tx, name).await? {
        Some(other) if other.id != own => {
            Err(refused(Class::Invalid, format!("Filename already exists. Script {} has the name {name}", other.id)))
        }
        _ => Ok(()),
    }
}

fn event(kind: &'static str, script: &Script, digest: Option<&Digest>) -> Event {
    let data = json!({ "name": script.name, "revision": script.revision, "sha256": digest.map(Digest::to_string) });
    Event { kind, subject: script.id.to_string(), data }
}

/// Writes the hooks of a script so that they are those of `wanted`. Hooks of moments that stay keep their numbers and what
/// was not said of them.
async fn bind(
    tx: &mut Connection,
    turn: &Turn,
    id: ScriptId,
    wanted: &[HookChange],
    events: &mut Vec<Event>,
) -> store::Result<()> {
    let had: Vec<Stored> = hook_list(tx).await?.into_iter().filter(|stored| stored.hook.script_id == id).collect();
    for stored in &had {
        if !wanted.iter().any(|change| change.point == Some(stored.hook.point)) {
            events.push(hook::remove(tx, stored).await?);
        }
    }
    for (at, change) in wanted.iter().enumerate() {
        if wanted[..at].iter().any(|other| other.point == change.point) {
            let name = change.point.map_or("", hostler_common::hook::HookPoint::name);
            return Err(refused(Class::Invalid, format!("hooks: {name} is named twice")));
        }
        let mut change = HookChange { script: Some(id), ..change.clone() };
        match had.iter().find(|stored| Some(stored.hook.point) == change.point) {
            Some(stored) => {
                // What this form of a hook always says counts also where it was left out.
                change.all_hosts = Some(change.all_hosts.unwrap_or(false));
                change.hosts = Some(change.hosts.unwrap_or_default());
                events.push(hook::update(tx, stored, &change).await?);
            }
            None => events.push(hook::create(tx, &change, turn.now).await?.1),
        }
    }
    Ok(())
}

impl Hooks {
    fn check(&self, name: Option<&str>, contents: Option<&str>) -> Result<()> {
        if let Some(name) = name {
            check_name(name).map_err(|fault| refused(Class::Invalid, fault.to_string()))?;
        }
        if let Some(contents) = contents {
            if contents.is_empty() {
                return Err(refused(Class::Invalid, "contents must not be empty").into());
            }
            check_contents(contents, self.script_max).map_err(|fault| match fault {
                ScriptFault::TooLarge(text) => Failure::TooLarge(text),
                ScriptFault::Broken(text) => Failure::Unfit(text),
            })?;
        }
        Ok(())
    }

    fn revision(&self, script: &Script, digest: Digest, size: usize, turn: &Turn) -> Revision {
        let signature = self.signer.sign(&script.name, script.revision, &digest);
        let name = script.name.clone();
        Revision {
            script: ScriptRef { id: Some(script.id), name, revision: script.revision, digest, signature },
            size: size as u64,
            author: turn.actor.clone().unwrap_or_default(),
            at: turn.now,
        }
    }

    /// All scripts, by number.
    ///
    /// # Errors
    /// See [`store::Error`].
    pub async fn scripts(&self) -> store::Result<Vec<Script>> {
        script_list(&mut *self.engine.store.read().await?).await
    }

    /// The script of that number.
    ///
    /// # Errors
    /// Class `NotFound` if there is none; see [`store::Error`].
    pub async fn script(&self, id: ScriptId) -> store::Result<Script> {
        script_find(&mut *self.engine.store.read().await?, id).await?.ok_or_else(|| missing(id))
    }

    /// The revisions of a script, oldest first.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such script; see [`store::Error`].
    pub async fn script_revisions(&self, id: ScriptId) -> store::Result<Vec<Revision>> {
        let found = revision_list(&mut *self.engine.store.read().await?, id).await?;
        if found.is_empty() { Err(missing(id)) } else { Ok(found) }
    }

    /// A revision of a script, the newest where none is named, and its contents.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such script or revision; see [`store::Error`].
    pub async fn script_revision(&self, id: ScriptId, number: Option<u32>) -> store::Result<(Revision, String)> {
        let mut connection = self.engine.store.read().await?;
        let script = script_find(&mut connection, id).await?.ok_or_else(|| missing(id))?;
        let number = number.unwrap_or(script.revision);
        let gone = || refused(Class::NotFound, format!("script {id} has no revision {number}"));
        let revision = revision_find(&mut connection, id, number).await?.ok_or_else(gone)?;
        let contents = contents_find(&mut connection, &revision.script.digest).await?.ok_or_else(gone)?;
        Ok((revision, contents))
    }

    /// Makes a script, and its hooks with it.
    ///
    /// # Errors
    /// See [`Failure`]; class `Invalid` also if the name is taken.
    pub async fn script_create(
        &self,
        by: &str,
        name: String,
        contents: String,
        hooks: Vec<HookChange>,
    ) -> Result<ScriptId> {
        self.check(Some(&name), Some(&contents))?;
        let own = self.clone();
        let done = self.commit(by, move |tx, turn| {
            Box::pin(async move {
                let id = script_number(tx).await?;
                check_free(tx, &name, id).await?;
                let script = Script { id, name, revision: 1, created_at: turn.now };
                let digest = digest_of(&contents);
                script_insert(tx, &script).await?;
                revision_insert(tx, &own.revision(&script, digest, contents.len(), turn), &contents).await?;
                let mut events = vec![event("script.created", &script, Some(&digest))];
                bind(tx, turn, id, &hooks, &mut events).await?;
                Ok((id, events))
            })
        });
        Ok(done.await?)
    }

    /// Changes a script. A new name or new contents make a new revision.
    ///
    /// # Errors
    /// See [`Failure`]; class `NotFound` if there is no such script, `Invalid` also if the name is taken.
    pub async fn script_update(&self, by: &str, id: ScriptId, change: ScriptChange) -> Result<()> {
        self.check(change.name.as_deref(), change.contents.as_deref())?;
        let own = self.clone();
        let done = self.commit(by, move |tx, turn| {
            Box::pin(async move {
                let mut script = script_find(tx, id).await?.ok_or_else(|| missing(id))?;
                let newest = revision_find(tx, id, script.revision).await?.ok_or_else(|| missing(id))?;
                let mut events = Vec::new();
                let digest = change.contents.as_deref().map_or(newest.script.digest, digest_of);
                let name = change.name.unwrap_or_else(|| script.name.clone());
                if name != script.name || digest != newest.script.digest {
                    check_free(tx, &name, id).await?;
                    let contents = match change.contents {
                        Some(contents) => contents,
                        None => contents_find(tx, &digest).await?.ok_or_else(|| missing(id))?,
                    };
                    script.name = name;
                    script.revision += 1;
                    script_update(tx, &script).await?;
                    revision_insert(tx, &own.revision(&script, digest, contents.len(), turn), &contents).await?;
                    events.push(event("script.changed", &script, Some(&digest)));
                }
                if let Some(hooks) = change.hooks {
                    bind(tx, turn, id, &hooks, &mut events).await?;
                }
                Ok(((), events))
            })
        });
        Ok(done.await?)
    }

    /// Removes a script; with `force` its hooks too.
    ///
    /// # Errors
    /// Class `NotFound` if there is none, `Conflict` if hooks use it; see [`store::Error`].
    pub async fn script_remove(&self, by: &str, id: ScriptId, force: bool) -> store::Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let script = script_find(tx, id).await?.ok_or_else(|| missing(id))?;
                let all = hook_list(tx).await?;
                let used: Vec<&Stored> = all.iter().filter(|stored| stored.hook.script_id == id).collect();
                if !used.is_empty() && !force {
                    let hooks = if used.len() == 1 { "1 hook".to_owned() } else { format!("{} hooks", used.len()) };
                    return Err(refused(Class::Conflict, format!("script {id} is used by {hooks}")));
                }
                let mut events = Vec::with_capacity(used.len() + 1);
                for stored in used {
                    events.push(hook::remove(tx, stored).await?);
                }
                script_delete(tx, id).await?;
                events.push(event("script.removed", &script, None));
                Ok(((), events))
            })
        })
        .await
    }

    /// Takes in a script that somebody gave verbatim; equal contents are one revision.
    ///
    /// # Errors
    /// See [`Failure`].
    pub async fn script_verbatim(&self, by: &str, contents: String) -> Result<ScriptRef> {
        self.check(None, Some(&contents))?;
        let digest = digest_of(&contents);
        if let Some(found) = verbatim_find(&mut *self.engine.store.read().await?, &digest).await? {
            return Ok(found.script);
        }
        let name = format!("verbatim-{}", &digest.to_string()[..12]);
        let signature = self.signer.sign(&name, 1, &digest);
        let script = ScriptRef { id: None, name, revision: 1, digest, signature };
        let (kept, author) = (script.clone(), by.to_owned());
        let done = self.commit(by, move |tx, turn| {
            Box::pin(async move {
                let revision = Revision { script: kept, size: contents.len() as u64, author, at: turn.now };
                revision_insert(tx, &revision, &contents).await?;
                Ok(((), Vec::new()))
            })
        });
        done.await?;
        Ok(script)
    }
}
