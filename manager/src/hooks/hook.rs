//! Hooks: making, changing, removing.

use std::collections::{BTreeMap, HashMap};

use hostler_common::error::Class;
use hostler_common::hook::{HookPoint, OnFailure};
use hostler_common::id::{HookId, HostId, ScriptId};
use hostler_core::machine::Event;
use serde_json::json;

use super::{Hooks, rules};
use crate::store::hook::{NewHook, Stored, hook_delete, hook_find, hook_insert, hook_list, hook_update};
use crate::store::host::host_numbers;
use crate::store::script::{revision_find, script_find};
use crate::store::secret::secret_sealed;
use crate::store::{Connection, Error, Result};
use hostler_common::time::Timestamp;

/// What shall be different of a hook, or what a new one shall be; what is `None` stays, or is as usual.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HookChange {
    /// The script.
    pub script: Option<ScriptId>,
    /// The moment.
    pub point: Option<HookPoint>,
    /// Whether it is bound to every host.
    pub all_hosts: Option<bool>,
    /// The hosts that it is bound to otherwise, by number.
    pub hosts: Option<Vec<i64>>,
    /// The rest.
    pub patch: Patch,
}

/// What the dialect has beyond croit's own fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patch {
    /// Whether it runs at all.
    pub enabled: Option<bool>,
    /// Hooks of one moment run by this, then by number.
    pub order: Option<i32>,
    /// What a failure means where something waits.
    pub on_failure: Option<OnFailure>,
    /// How long the script may take, in seconds.
    pub timeout_s: Option<u32>,
    /// The account.
    pub run_as: Option<Option<String>>,
    /// More of its environment.
    pub env: Option<BTreeMap<String, String>>,
    /// Names of stored secrets, by file name.
    pub secrets: Option<BTreeMap<String, String>>,
    /// On how many hosts it may run at once.
    pub max_parallel: Option<Option<u32>>,
    /// Whether it gets the occurrence as JSON on its standard input.
    pub stdin_json: Option<bool>,
    /// Whether it also runs at what others brought about.
    pub external: Option<bool>,
    /// Whether processes that it leaves behind live on.
    pub leave_children: Option<bool>,
    /// The revision of the script that it is pinned to.
    pub revision: Option<Option<u32>>,
}

fn invalid(text: impl Into<String>) -> Error {
    Error::Refused(Class::Invalid, text.into())
}

/// A hook that does not exist.
fn missing(id: HookId) -> Error {
    Error::Refused(Class::NotFound, format!("there is no hook {id}"))
}

/// The ids of hosts of those numbers, each once.
async fn hosts_of(tx: &mut Connection, numbers: &[i64]) -> Result<Vec<HostId>> {
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let known: HashMap<i64, HostId> = host_numbers(tx).await?.into_iter().map(|(id, number, _)| (number, id)).collect();
    let mut hosts = Vec::with_capacity(numbers.len());
    for number in numbers {
        let host = *known.get(number).ok_or_else(|| invalid(format!("serverIds: there is no server {number}")))?;
        if !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    Ok(hosts)
}

/// Writes `change` over `hook`, which is as it is or as it would be by itself.
async fn changed(tx: &mut Connection, mut hook: NewHook, change: &HookChange) -> Result<NewHook> {
    if let Some(script) = change.script {
        if script != hook.script {
            hook.revision = None;
        }
        hook.script = script;
    }
    if let Some(point) = change.point {
        rules::follow(&mut hook.details, hook.point, point);
        hook.point = point;
    }
    hook.all_hosts = change.all_hosts.unwrap_or(hook.all_hosts);
    if let Some(numbers) = &change.hosts {
        hook.hosts = hosts_of(tx, numbers).await?;
    }
    if !rules::on_hosts(hook.point) {
        hook.all_hosts = false;
    }
    if hook.all_hosts || !rules::on_hosts(hook.point) {
        hook.hosts.clear();
    }
    hook.enabled = change.patch.enabled.unwrap_or(hook.enabled);
    hook.order = change.patch.order.unwrap_or(hook.order);
    hook.revision = change.patch.revision.unwrap_or(hook.revision);
    rules::apply(&mut hook.details, &change.patch);
    rules::check(hook.point, &hook.details).map_err(invalid)?;
    if script_find(tx, hook.script).await?.is_none() {
        return Err(invalid(format!("scriptId: there is no script {}", hook.script)));
    }
    if let Some(revision) = hook.revision
        && revision_find(tx, hook.script, revision).await?.is_none()
    {
        return Err(invalid(format!("revision: script {} has no revision {revision}", hook.script)));
    }
    for name in change.patch.secrets.iter().flatten().map(|(_, name)| name) {
        if secret_sealed(tx, name).await?.is_none() {
            return Err(invalid(format!("secrets: there is no secret {name}")));
        }
    }
    Ok(hook)
}

/// A second hook of a script at one moment is refused.
fn once(hook: &NewHook) -> impl FnOnce(Error) -> Error {
    let text = format!("script {} has a hook at {} already", hook.script, hook.point.name());
    move |error| if matches!(error, Error::Exists(_)) { invalid(text) } else { error }
}

fn event(kind: &'static str, id: HookId, hook: &NewHook) -> Event {
    let data = json!({ "script": hook.script, "event": hook.point.name(), "enabled": hook.enabled });
    Event { kind, subject: id.to_string(), data }
}

/// Makes a hook in a transaction.
pub(super) async fn create(tx: &mut Connection, change: &HookChange, at: Timestamp) -> Result<(HookId, Event)> {
    let script = change.script.ok_or_else(|| invalid("scriptId is required"))?;
    let point = change.point.ok_or_else(|| invalid("event is required"))?;
    let fresh = NewHook {
        script,
        revision: None,
        point,
        all_hosts: false,
        hosts: Vec::new(),
        enabled: true,
        order: rules::ORDER,
        details: rules::defaults(point),
    };
    let hook = changed(tx, fresh, change).await?;
    let id = hook_insert(tx, &hook, at).await.map_err(once(&hook))?;
    Ok((id, event("hook.created", id, &hook)))
}

/// Changes a hook in a transaction.
pub(super) async fn update(tx: &mut Connection, stored: &Stored, change: &HookChange) -> Result<Event> {
    let hook = changed(tx, stored.as_new(), change).await?;
    let id = stored.hook.id;
    hook_update(tx, id, &hook).await.map_err(once(&hook))?;
    Ok(event("hook.changed", id, &hook))
}

/// Removes a hook in a transaction.
pub(super) async fn remove(tx: &mut Connection, stored: &Stored) -> Result<Event> {
    hook_delete(tx, stored.hook.id).await?;
    Ok(event("hook.removed", stored.hook.id, &stored.as_new()))
}

impl Hooks {
    /// All hooks, by number.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hooks(&self) -> Result<Vec<Stored>> {
        hook_list(&mut *self.engine.store.read().await?).await
    }

    /// The hook of that number.
    ///
    /// # Errors
    /// Class `NotFound` if there is none; see [`Error`].
    pub async fn hook(&self, id: HookId) -> Result<Stored> {
        hook_find(&mut *self.engine.store.read().await?, id).await?.ok_or_else(|| missing(id))
    }

    /// Makes a hook.
    ///
    /// # Errors
    /// Class `Invalid` if it breaks a rule; see [`Error`].
    pub async fn hook_create(&self, by: &str, change: HookChange) -> Result<HookId> {
        self.commit(by, move |tx, turn| {
            Box::pin(async move {
                let (id, event) = create(tx, &change, turn.now).await?;
                Ok((id, vec![event]))
            })
        })
        .await
    }

    /// Changes a hook.
    ///
    /// # Errors
    /// Class `NotFound` if there is none, `Invalid` if it breaks a rule; see [`Error`].
    pub async fn hook_update(&self, by: &str, id: HookId, change: HookChange) -> Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let stored = hook_find(tx, id).await?.ok_or_else(|| missing(id))?;
                let event = update(tx, &stored, &change).await?;
                Ok(((), vec![event]))
            })
        })
        .await
    }

    /// Removes a hook.
    ///
    /// # Errors
    /// Class `NotFound` if there is none; see [`Error`].
    pub async fn hook_remove(&self, by: &str, id: HookId) -> Result<()> {
        self.commit(by, move |tx, _| {
            Box::pin(async move {
                let stored = hook_find(tx, id).await?.ok_or_else(|| missing(id))?;
                let event = remove(tx, &stored).await?;
                Ok(((), vec![event]))
            })
        })
        .await
    }
}
