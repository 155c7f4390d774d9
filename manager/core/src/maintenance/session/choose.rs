//! Which hosts are meant (spec/maintenance.md §3.1).

use std::collections::BTreeSet;

use hostler_common::error::Class;
use hostler_common::id::HostId;
use uuid::Uuid;

use crate::machine::Refusal;
use crate::maintenance::host::FleetHost;
use crate::maintenance::spec::Spec;

/// The hosts that were chosen, by name, and what people should know of those that were not.
#[derive(Debug, Default)]
pub struct Choice<'f> {
    pub hosts: Vec<&'f FleetHost>,
    pub warnings: Vec<String>,
}

fn short(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// The host of that name: exactly, or the only one whose short or full name it is, in whatever case.
///
/// # Errors
/// Invalid if there is none, or more than one.
pub fn by_name<'f>(fleet: &'f [FleetHost], name: &str) -> Result<&'f FleetHost, Refusal> {
    if let Some(host) = fleet.iter().find(|host| host.name == name) {
        return Ok(host);
    }
    let wanted = name.to_lowercase();
    let alike = |host: &&FleetHost| {
        let other = host.name.to_lowercase();
        other == wanted || (short(&other) == short(&wanted) && (!other.contains('.') || !wanted.contains('.')))
    };
    let found: Vec<_> = fleet.iter().filter(alike).collect();
    match found.as_slice() {
        [host] => Ok(host),
        [] => Err(Refusal::new(Class::Invalid, format!("there is no host {name:?}"))),
        _ => Err(Refusal::new(Class::Invalid, format!("more than one host could be meant by {name:?}"))),
    }
}

/// The hosts of those names, each once.
///
/// # Errors
/// Invalid if one is unknown or named twice, or its agent is not there.
pub fn named<'f>(fleet: &'f [FleetHost], names: &[String]) -> Result<Vec<&'f FleetHost>, Refusal> {
    let mut seen = BTreeSet::new();
    let mut hosts = Vec::new();
    for name in names {
        let host = by_name(fleet, name)?;
        if !seen.insert(host.host) {
            return Err(Refusal::new(Class::Invalid, format!("the host {:?} is named twice", host.name)));
        }
        if !host.connected {
            return Err(Refusal::new(
                Class::Invalid,
                format!("the agent of the host {:?} is not connected", host.name),
            ));
        }
        hosts.push(host);
    }
    Ok(hosts)
}

/// The hosts that a session is over.
///
/// # Errors
/// Invalid if one cannot be found; a conflict, with all their names, if some are in another session, or, where the policy asks
/// for that, out of service.
pub fn choose<'f>(fleet: &'f [FleetHost], spec: &Spec, session: Uuid) -> Result<Choice<'f>, Refusal> {
    let mut choice = Choice::default();
    if spec.hosts.is_empty() {
        for host in fleet.iter().filter(|host| selected(host, spec)) {
            match host.connected {
                true => choice.hosts.push(host),
                false => choice.warnings.push(format!("{} is left out: its agent is not connected", host.name)),
            }
        }
    } else {
        choice.hosts = named(fleet, &spec.hosts)?;
        if let Some(other) = choice.hosts.iter().find(|host| !selected(host, spec)) {
            let text = format!("the host {:?} has not the labels of the selector", other.name);
            return Err(Refusal::new(Class::Invalid, text));
        }
    }
    free(&choice.hosts, session)?;
    let disabled: Vec<_> = choice.hosts.iter().filter(|host| host.disabled.is_some()).collect();
    if spec.policy.require_enabled && !disabled.is_empty() {
        let text = format!("out of service already: {}", names(disabled.into_iter().copied()));
        return Err(Refusal::new(Class::Conflict, text));
    }
    choice.hosts.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(choice)
}

/// Whether none of the hosts is another session's.
///
/// # Errors
/// A conflict with their names.
pub fn free(hosts: &[&FleetHost], session: Uuid) -> Result<(), Refusal> {
    let locked: Vec<_> =
        hosts.iter().copied().filter(|host| host.locked_by.is_some_and(|other| other != session)).collect();
    match locked.is_empty() {
        true => Ok(()),
        false => {
            Err(Refusal::new(Class::Conflict, format!("in another session already: {}", names(locked.into_iter()))))
        }
    }
}

fn names<'f>(hosts: impl Iterator<Item = &'f FleetHost>) -> String {
    hosts.map(|host| host.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn selected(host: &FleetHost, spec: &Spec) -> bool {
    spec.host_selector.iter().all(|(label, wanted)| {
        // Labels are texts; a number or a truth value is meant as it is written.
        let wanted = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
        host.labels.get(label) == Some(&wanted)
    })
}

/// The hosts of those ids that a session knows, by name.
///
/// # Errors
/// Invalid if one is none of the session's.
pub fn among(rows: &[crate::maintenance::host::SessionHost], names: &[String]) -> Result<Vec<HostId>, Refusal> {
    let find = |name: &String| {
        let wanted = name.to_lowercase();
        let row = rows
            .iter()
            .find(|row| row.name == *name)
            .or_else(|| rows.iter().find(|row| short(&row.name.to_lowercase()) == short(&wanted)));
        row.map(|row| row.host).ok_or_else(|| Refusal::new(Class::Invalid, format!("the session has no host {name:?}")))
    };
    names.iter().map(find).collect()
}
