//! Rules as operators work on them: replaced in their place, and tried without effect.

use hostler_common::error::Class;
use hostler_common::id::{HostId, RuleId};
use hostler_core::introspection::node::Node;
use hostler_core::introspection::process::{self, Mode, Processed};
use hostler_core::introspection::rules::Rule;
use hostler_core::machine::Event;
use serde_json::{Value, json};

use super::Engine;
use crate::store::introspection::{DataKind, data_find};
use crate::store::{Error, Result, event, host, rule};

/// What would come of rules.
#[derive(Clone, Debug)]
pub struct Tried {
    /// The node as it is.
    pub before: Node,
    /// What a run would make of it.
    pub processed: Processed,
    /// The rules that were tried, in their order.
    pub rules: Vec<RuleId>,
}

impl Engine {
    /// Writes a rule over the one with its id, which keeps its place in the order.
    ///
    /// # Errors
    /// Class `NotFound` if there is none; see [`Error`].
    pub async fn rule_replace(&self, new: Rule, actor: &str) -> Result<()> {
        let turn = self.turn(Some(actor));
        self.store
            .write(move |tx| {
                Box::pin(async move {
                    if !rule::rule_replace(tx, &new).await? {
                        return Err(Error::Refused(Class::NotFound, format!("there is no rule {}", new.id)));
                    }
                    let data = json!({ "description": new.description });
                    let event = Event { kind: "rule.replaced", subject: new.id.to_string(), data };
                    event::event_insert(tx, turn.now, turn.actor.as_deref(), &event).await?;
                    Ok(())
                })
            })
            .await?;
        self.wake.changed();
        Ok(())
    }

    /// What a run over a host's stored data would do now with `rules`, or with the stored rules. Nothing is written.
    ///
    /// # Errors
    /// Class `NotFound` if there is no such host, `Conflict` if it has no data yet; see [`Error`].
    pub async fn rules_try(&self, id: HostId, rules: Option<Vec<Rule>>) -> Result<Tried> {
        let mut connection = self.store.read().await?;
        let host = host::host_fetch(&mut connection, id).await?;
        let Some(stored) = data_find(&mut connection, id, DataKind::Unprocessed).await? else {
            let text = format!("{} has no data to try rules on; introspect it first", host.name);
            return Err(Error::Refused(Class::Conflict, text));
        };
        let rules = match rules {
            Some(rules) => rules,
            None => rule::rule_list(&mut connection).await?,
        };
        drop(connection);
        let settings = std::sync::Arc::clone(&self.settings.introspection);
        let work = move || {
            let raw: Value = serde_json::from_str(&stored.text)?;
            let processed = process::process(&raw, &host.node, &rules, &settings.processing, Mode::Reapply);
            Ok(Tried { before: host.node, processed, rules: rules.into_iter().map(|rule| rule.id).collect() })
        };
        // A document of 16 MiB takes long enough to hold up everybody else on this thread.
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|error| Error::Broken(format!("trying rules failed: {error}")))?
    }
}
