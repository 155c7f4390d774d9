//! Which hosts a command means: named ones, all, or those of a role or with labels.

use clap::Args;
use serde_json::Value;

use super::values;
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{list, show};

/// Hosts by what is said of them.
#[derive(Args, Clone, Debug, Default)]
pub struct HostsArgs {
    /// Hosts: names, numbers or UUIDs, with commas or one by one
    #[arg(long, value_delimiter = ',', value_name = "HOST,...")]
    pub on: Vec<String>,
    /// Hosts that are online and have one of these roles
    #[arg(long, value_delimiter = ',', value_name = "ROLE")]
    pub role: Vec<String>,
    /// Hosts that are online and have all these labels
    #[arg(long, value_name = "KEY=VALUE", value_parser = values::pair)]
    pub label: Vec<(String, String)>,
    /// Every host that is online
    #[arg(long, conflicts_with_all = ["role", "label"])]
    pub all: bool,
}

impl HostsArgs {
    /// Whether any hosts are meant.
    #[must_use]
    pub fn given(&self) -> bool {
        !self.on.is_empty() || self.described()
    }

    fn described(&self) -> bool {
        self.all || !self.role.is_empty() || !self.label.is_empty()
    }

    /// Whether a host is among those that are described rather than named.
    fn fits(&self, host: &Value) -> bool {
        let has = |role: &String| list(host, "roles").iter().any(|own| own == role.as_str());
        let roles = self.role.is_empty() || self.role.iter().any(has);
        roles && self.label.iter().all(|(key, value)| host["labels"][key] == value.as_str())
    }
}

/// What the arguments mean.
#[derive(Debug, Default, PartialEq, Eq)]
struct Choice {
    /// Numbers of hosts, each once: named ones first, in their order.
    numbers: Vec<i64>,
    /// Their names, in the same order.
    names: Vec<String>,
    /// Names of hosts that fit and are not online.
    left_out: Vec<String>,
}

/// The numbers of the hosts that are meant.
///
/// # Errors
/// A host that is named is not there, or no host fits.
pub async fn numbers(context: &Context, client: &Client, args: &HostsArgs, doing: &str) -> Result<Vec<i64>, Failure> {
    chosen(context, client, args, doing).await.map(|choice| choice.numbers)
}

/// The names of the hosts that are meant.
///
/// # Errors
/// As [`numbers`].
pub async fn names(context: &Context, client: &Client, args: &HostsArgs, doing: &str) -> Result<Vec<String>, Failure> {
    chosen(context, client, args, doing).await.map(|choice| choice.names)
}

async fn chosen(context: &Context, client: &Client, args: &HostsArgs, doing: &str) -> Result<Choice, Failure> {
    let hosts = client.pages("list hosts", &["api", "hosts"], &[], None).await?;
    let choice = choose(args, &hosts).map_err(|name| {
        Failure::new(Kind::NotFound, format!("cannot {doing}"), format!("there is no host {name}"))
            .hint("`hostler host list` shows all hosts")
    })?;
    if !choice.left_out.is_empty() {
        context.output.note(&format!("Left out, as they are not online: {}", choice.left_out.join(", ")));
    }
    if choice.numbers.is_empty() {
        let why = "no host that is online fits";
        return Err(Failure::new(Kind::NotFound, format!("cannot {doing}"), why)
            .hint("`hostler host list` shows all hosts and their states, `hostler host show HOST` roles and labels"));
    }
    Ok(choice)
}

/// The number of one host.
///
/// # Errors
/// There is no such host.
pub async fn number(client: &Client, host: &str) -> Result<i64, Failure> {
    let doing = format!("find host {host}");
    let found = client.get(doing.as_str(), &["api", "hosts", host]).json().await.map_err(super::host::unknown)?;
    let missing = || Failure::new(Kind::Failed, format!("cannot {doing}"), "the answer has no number");
    found["number"].as_i64().ok_or_else(missing)
}

/// Chooses; the error is the name that no host has. A name of digits wins over a number, as everywhere.
fn choose(args: &HostsArgs, hosts: &[Value]) -> Result<Choice, String> {
    let mut choice = Choice::default();
    let mut take = |host: &Value| {
        let number = host["number"].as_i64().unwrap_or_default();
        if !choice.numbers.contains(&number) {
            choice.numbers.push(number);
            choice.names.push(host["name"].as_str().unwrap_or_default().to_owned());
        }
    };
    for name in args.on.iter().filter(|name| !name.is_empty()) {
        let by = |fits: &dyn Fn(&&Value) -> bool| hosts.iter().find(fits);
        let number = name.parse::<i64>().ok();
        let found = by(&|host| host["name"] == name.as_str())
            .or_else(|| by(&|host| number.is_some() && host["number"].as_i64() == number))
            .or_else(|| by(&|host| host["id"].as_str().is_some_and(|id| id.eq_ignore_ascii_case(name))));
        take(found.ok_or_else(|| name.clone())?);
    }
    if args.described() {
        let (online, other): (Vec<_>, Vec<_>) =
            hosts.iter().filter(|host| args.fits(host)).partition(|host| host["state"] == "online");
        online.into_iter().for_each(&mut take);
        let other = other.into_iter().filter(|host| host["state"] != "revoked");
        choice.left_out = other.map(|host| show(host, "name")).collect();
    }
    Ok(choice)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn hosts() -> Vec<Value> {
        let host = |number: i64, name: &str, state: &str, roles: Value, rack: &str| json!({"id": format!("u-{number}"), "number": number, "name": name, "state": state, "roles": roles, "labels": {"rack": rack}});
        vec![
            host(1, "a", "online", json!(["storage"]), "r1"),
            host(2, "b", "offline", json!(["storage", "compute"]), "r1"),
            host(3, "1", "online", json!(["compute"]), "r2"),
            host(4, "d", "revoked", json!(["storage"]), "r1"),
        ]
    }

    fn chosen(args: HostsArgs) -> (Vec<i64>, Vec<String>) {
        let choice = choose(&args, &hosts()).unwrap();
        (choice.numbers, choice.left_out)
    }

    fn words(words: &[&str]) -> Vec<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn hosts_are_named_or_described() {
        let on = |names: &[&str]| HostsArgs { on: words(names), ..HostsArgs::default() };
        assert_eq!(chosen(on(&["b", "a", "2", "U-2"])).0, [2, 1]);
        assert_eq!(chosen(on(&["1"])).0, [3], "a name of digits wins");
        assert_eq!(choose(&on(&["a", "x"]), &hosts()), Err("x".into()));
        let role = |names: &[&str]| HostsArgs { role: words(names), ..HostsArgs::default() };
        assert_eq!(chosen(role(&["storage"])), (vec![1], words(&["b"])));
        assert_eq!(chosen(role(&["storage", "compute"])).0, [1, 3]);
        let rack = HostsArgs { label: vec![("rack".into(), "r2".into())], on: words(&["d"]), ..HostsArgs::default() };
        assert_eq!(chosen(rack).0, [4, 3], "who names a host means it");
        assert_eq!(chosen(HostsArgs { all: true, ..HostsArgs::default() }), (vec![1, 3], words(&["b"])));
    }
}
