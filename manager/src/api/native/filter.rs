//! Which events somebody wants, as parameters and as JSON: comma lists of kinds, subjects, hosts and severities.

use hostler_common::id::HostId;
use hostler_core::event::{FILTER_ENTRIES, FILTER_ENTRY_MAX, Filter, KindPattern, Severity};
use serde_json::{Value, json};

use super::body::{Fields, shown};
use super::error::{Error, Result};
use super::path::find_host;
use super::query::Query;
use crate::api::Api;

/// The filter in the parameters `kind`, `subject`, `host` and `severity`.
///
/// # Errors
/// An entry breaks a rule, or a host is not there.
pub async fn of_query(api: &Api, query: &mut Query) -> Result<Filter> {
    let mut lists = [const { Vec::new() }; 4];
    for (list, name) in lists.iter_mut().zip(["kind", "subject", "host", "severity"]) {
        let text = query.take(name)?.unwrap_or_default();
        *list = text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect();
        if list.len() > FILTER_ENTRIES {
            return Err(Error::field(name, format_args!("may have at most {FILTER_ENTRIES} entries")));
        }
    }
    let [kinds, subjects, hosts, severities] = lists;
    read(api, ["kind", "subject", "host", "severity"], kinds, subjects, hosts, severities).await
}

/// The filter in a JSON object with the lists `kinds`, `subjects`, `hosts` and `severities`.
///
/// # Errors
/// See [`of_query`].
pub async fn of_json(api: &Api, value: Value) -> Result<Filter> {
    if value.is_null() {
        return Ok(Filter::default());
    }
    let mut fields = Fields::of(value).map_err(|_| Error::field("filter", "must be an object"))?;
    let mut list = |name| fields.texts(name, FILTER_ENTRIES, FILTER_ENTRY_MAX).map(Option::unwrap_or_default);
    let (kinds, subjects, hosts, severities) = (list("kinds")?, list("subjects")?, list("hosts")?, list("severities")?);
    fields.finish()?;
    read(api, ["kinds", "subjects", "hosts", "severities"], kinds, subjects, hosts, severities).await
}

async fn read(
    api: &Api,
    names: [&'static str; 4],
    kinds: Vec<String>,
    subjects: Vec<String>,
    hosts: Vec<String>,
    severities: Vec<String>,
) -> Result<Filter> {
    let mut filter = Filter::default();
    for text in kinds {
        let rule = "must be a kind of event such as introspection.finished, or introspection.*";
        let wrong = || Error::field(names[0], format_args!("{rule}, is {:?}", shown(&text)));
        filter.kinds.push(KindPattern::parse(&text).ok_or_else(wrong)?);
    }
    if subjects.iter().any(|subject| subject.len() > FILTER_ENTRY_MAX) {
        return Err(Error::field(names[1], format_args!("may have at most {FILTER_ENTRY_MAX} bytes each")));
    }
    filter.subjects = subjects;
    for text in hosts {
        filter.hosts.push(host(api, names[2], &text).await?);
    }
    for text in severities {
        let known = Severity::ALL.map(Severity::name).join(", ");
        let wrong = || Error::field(names[3], format_args!("must be one of {known}, is {:?}", shown(&text)));
        filter.severities.push(Severity::from_name(&text).ok_or_else(wrong)?);
    }
    Ok(filter)
}

/// A host by UUID, name or number. A UUID that no host has (any more) is taken too: its events may still be there.
async fn host(api: &Api, field: &str, text: &str) -> Result<HostId> {
    if let Some(found) = find_host(api, text).await? {
        return Ok(found.id);
    }
    let id = hostler_common::id::uuid_like(text).map(HostId);
    id.ok_or_else(|| Error::field(field, format_args!("there is no host {:?}", shown(text))))
}

/// A filter as [`of_json`] reads it.
#[must_use]
pub fn render(filter: &Filter) -> Value {
    json!({
        "kinds": filter.kinds.iter().map(KindPattern::text).collect::<Vec<_>>(),
        "subjects": filter.subjects,
        "hosts": filter.hosts,
        "severities": filter.severities.iter().map(|severity| severity.name()).collect::<Vec<_>>(),
    })
}
