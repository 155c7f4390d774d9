//! What a request for a session asks for (spec/maintenance.md §1.3): everything that can be known from the request alone.

use hostler_core::maintenance::policy::Policy;
use hostler_core::maintenance::spec::{Action, ActionType, Spec, Workflow};
use serde_json::{Map, Value};

use super::error::{Failure, shown};
use super::fields::Fields;
use super::{download, policy};
use crate::config;

/// The longest name of a host or a session, in characters.
pub(super) const NAME_MAX: usize = 255;

/// The longest reason, in characters.
pub(super) const REASON_MAX: usize = 4096;

/// How many hosts and how many actions a session may name.
pub(super) const HOSTS: usize = 10_000;
const ACTIONS: usize = 1000;

/// How large metadata may be, and labels, in bytes.
const METADATA_MAX: usize = 64 << 10;

/// A session that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// What is asked for.
    pub(super) spec: Spec,
    /// Whether only the plan is wanted.
    pub(super) dry_run: bool,
}

/// Reads the body of a request for a session.
///
/// # Errors
/// 422 with the field and its rule.
pub(super) fn read(
    body: Map<String, Value>,
    settings: &config::Maintenance,
    admin_project: String,
) -> Result<Wanted, Failure> {
    let mut fields = Fields::new(body);
    if let Some(state) = fields.text("state", NAME_MAX)?
        && state != "MAINTENANCE"
    {
        return Err(fields.wrong("state", "must be MAINTENANCE: that is where sessions begin"));
    }
    let maintenance_at =
        fields.moment("maintenance_at")?.ok_or_else(|| fields.wrong("maintenance_at", "is required"))?;
    let spec = Spec {
        hosts: hosts(&mut fields)?,
        host_selector: labels(&mut fields, "host_selector")?,
        maintenance_at,
        workflow: workflow(&mut fields)?,
        metadata: fields.object("metadata", METADATA_MAX)?,
        download: download::read(&mut fields, settings)?,
        actions: actions(&mut fields)?,
        policy: policy::of_request(&settings.policy, &mut fields)?,
        name: fields.text("name", NAME_MAX)?,
        reason: fields.text("reason", REASON_MAX)?,
        labels: labels(&mut fields, "labels")?,
        admin_project,
    };
    let dry_run = fields.truth("dry_run")?.unwrap_or(false);
    fields.finish()?;
    Ok(Wanted { spec, dry_run })
}

fn hosts(fields: &mut Fields) -> Result<Vec<String>, Failure> {
    fields.texts("hosts", HOSTS, NAME_MAX)
}

fn workflow(fields: &mut Fields) -> Result<Workflow, Failure> {
    let Some(name) = fields.text("workflow", NAME_MAX)? else { return Ok(Workflow::default()) };
    if name == "k8s" {
        let failure = fields.wrong("workflow", "k8s is not available: no cluster of Kubernetes is configured");
        return Err(failure.with("reason", "workflow.unavailable"));
    }
    Workflow::from_name(&name).ok_or_else(|| {
        let rule = format!("must be default or vnf (nfv is the same), is {:?}", shown(&name));
        fields.wrong("workflow", rule)
    })
}

/// Labels: texts, numbers and truth values.
fn labels(fields: &mut Fields, field: &str) -> Result<Map<String, Value>, Failure> {
    let labels = fields.object(field, METADATA_MAX)?;
    match labels.iter().find(|(_, value)| value.is_object() || value.is_array() || value.is_null()) {
        Some((name, _)) => {
            Err(fields.wrong(&format!("{field}.{}", shown(name)), "must be a text, a number or a truth value"))
        }
        None => Ok(labels),
    }
}

fn actions(fields: &mut Fields) -> Result<Vec<Action>, Failure> {
    let mut actions: Vec<Action> = Vec::new();
    for (index, entry) in fields.list("actions", ACTIONS)?.into_iter().enumerate() {
        let name = format!("actions[{index}]");
        let action = action(&name, entry)?;
        if actions.iter().any(|other| other.plugin == action.plugin && other.kind == action.kind) {
            let rule = format!("{} is there twice for {}", action.plugin, action.kind.name());
            return Err(Failure::field(&name, rule));
        }
        actions.push(action);
    }
    Ok(actions)
}

fn action(name: &str, entry: Value) -> Result<Action, Failure> {
    let mut fields = Fields::within(name, entry)?;
    let plugin = fields.text("plugin", NAME_MAX)?.ok_or_else(|| fields.wrong("plugin", "is required"))?;
    let sign = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if plugin.is_empty() || !plugin.chars().all(sign) {
        return Err(fields.wrong("plugin", "must have from 1 to 255 of A-Z, a-z, 0-9, '.', '_' and '-'"));
    }
    let kind = fields.text("type", NAME_MAX)?.ok_or_else(|| fields.wrong("type", "is required"))?;
    let known = ActionType::ALL.map(ActionType::name).join(", ");
    let kind =
        ActionType::from_name(&kind).ok_or_else(|| fields.wrong("type", format_args!("must be one of {known}")))?;
    let metadata = fields.object("metadata", METADATA_MAX)?;
    let order = match fields.take("order") {
        None => None,
        Some(value) => Some(value.as_i64().ok_or_else(|| fields.wrong("order", "must be a whole number"))?),
    };
    fields.finish()?;
    Ok(Action { plugin, kind, metadata, order })
}

/// Whether a request needs the right to download or to override, besides that to create (§1.12).
pub(super) fn special(wanted: &Spec, base: &Policy) -> (bool, bool) {
    let (asked, usual) = (&wanted.policy.storage, &base.storage);
    let weaker = (asked.ignore && !usual.ignore)
        || (asked.allow_cluster_flags && !usual.allow_cluster_flags)
        || asked.ignorable.iter().any(|code| !usual.ignorable.contains(code));
    (!wanted.download.is_empty(), weaker)
}

#[cfg(test)]
mod tests {
    use hostler_core::maintenance::policy::OnFail;
    use serde_json::json;

    use super::*;
    use crate::api::maintenance::moment;

    fn of(body: Value) -> Result<Wanted, Failure> {
        let settings = config::Maintenance::default();
        read(body.as_object().unwrap().clone(), &settings, "admins".into())
    }

    #[test]
    fn the_smallest_request() {
        let wanted = of(json!({"maintenance_at": "2031-04-12 22:00:00"})).unwrap();
        let spec = wanted.spec;
        assert_eq!(Some(spec.maintenance_at), moment::parse("2031-04-12T22:00:00Z"));
        assert!(spec.hosts.is_empty() && spec.actions.is_empty() && !wanted.dry_run);
        assert_eq!(
            (spec.workflow, spec.policy, spec.admin_project.as_str()),
            (Workflow::Default, Policy::default(), "admins")
        );
    }

    #[test]
    fn a_request_with_everything() {
        let wanted = of(json!({
            "hosts": ["kvm-a07", "kvm-a08"], "state": "MAINTENANCE", "maintenance_at": "2031-04-12 22:00:00",
            "workflow": "nfv", "metadata": {"kernel": "6.12"}, "name": "spring", "reason": "firmware",
            "download": [{"url": "https://mirror.example/fw-7.2.tar.zst", "sha256": "9f".repeat(32)}],
            "actions": [{"plugin": "collect_facts", "type": "pre"},
                        {"plugin": "firmware", "type": "compute", "metadata": {"bundle": "fw-7.2"}, "order": 3}],
            "policy": {"on_fail": "skip"}, "storage": {"stable_for": 5}, "window": {"start": "22:00", "end": "04:00"},
            "dry_run": true, "host_selector": {"rack": 4}, "labels": {"change": "C-1"}, "x-ticket": {"any": ["thing"]},
        }));
        let wanted = wanted.unwrap();
        assert!(wanted.dry_run);
        assert_eq!(wanted.spec.workflow, Workflow::Vnf);
        assert_eq!((wanted.spec.policy.on_fail, wanted.spec.policy.storage.stable_for), (OnFail::Skip, Some(5)));
        assert_eq!(wanted.spec.actions[1].order, Some(3));
        assert_eq!(wanted.spec.download[0].name, "fw-7.2.tar.zst");
        assert_eq!(special(&wanted.spec, &Policy::default()), (true, false));
    }

    #[test]
    fn what_is_wrong_is_called_by_its_name() {
        let at = "2031-04-12 22:00:00";
        for (body, field) in [
            (json!({}), "maintenance_at"),
            (json!({"maintenance_at": 7}), "maintenance_at"),
            (json!({"maintenance_at": "soon"}), "maintenance_at"),
            (json!({"maintenance_at": at, "state": "SCALE_IN"}), "state"),
            (json!({"maintenance_at": at, "hosts": "a"}), "hosts"),
            (json!({"maintenance_at": at, "hosts": ["a", "a"]}), "hosts[1]"),
            (json!({"maintenance_at": at, "hosts": ["a", ""]}), "hosts[1]"),
            (json!({"maintenance_at": at, "hosts": [1]}), "hosts[0]"),
            (json!({"maintenance_at": at, "workflow": "os.system"}), "workflow"),
            (json!({"maintenance_at": at, "workflow": "k8s"}), "workflow"),
            (json!({"maintenance_at": at, "metadata": []}), "metadata"),
            (json!({"maintenance_at": at, "metadata": {"a": "x".repeat(65_536)}}), "metadata"),
            (json!({"maintenance_at": at, "actions": [{"type": "pre"}]}), "actions[0].plugin"),
            (json!({"maintenance_at": at, "actions": [{"plugin": "../x", "type": "pre"}]}), "actions[0].plugin"),
            (json!({"maintenance_at": at, "actions": [{"plugin": "x"}]}), "actions[0].type"),
            (json!({"maintenance_at": at, "actions": [{"plugin": "x", "type": 1}]}), "actions[0].type"),
            (json!({"maintenance_at": at, "actions": [{"plugin": "x", "type": "pre", "y": 1}]}), "actions[0].y"),
            (json!({"maintenance_at": at, "actions": ["x"]}), "actions[0]"),
            (json!({"maintenance_at": at, "labels": {"a": {}}}), "labels.a"),
            (json!({"maintenance_at": at, "dry_run": "maybe"}), "dry_run"),
            (json!({"maintenance_at": at, "host": "a"}), "host"),
            (json!({"maintenance_at": at, "policy": {"storage": {}}, "storage": {}}), "storage"),
        ] {
            let failure = format!("{:?}", of(body.clone()).unwrap_err());
            assert!(failure.contains(&format!("\"{field}: ")), "{body}: {failure}");
        }
        let twice = json!([{"plugin": "x", "type": "pre"}, {"plugin": "x", "type": "pre"}]);
        assert!(of(json!({"maintenance_at": at, "actions": twice})).is_err());
        let both = json!([{"plugin": "x", "type": "pre"}, {"plugin": "x", "type": "post"}]);
        assert!(of(json!({"maintenance_at": at, "actions": both})).is_ok());
    }
}
