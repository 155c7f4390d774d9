//! What a session would do: order, waves, landing places, and what is in the way, in words.

mod rules;

use clap::Args;
use serde_json::{Map, Value};

use super::request::{self, RequestArgs};
use super::session;
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::field::{UNKNOWN, list, show, string};
use crate::output::table::{self, Column};
use crate::output::{Theme, human};

/// Say what a session would do.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// Say what is left to do of a session that is there: its name or id, or how its id begins
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// What would be asked for.
    #[command(flatten)]
    request: RequestArgs,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or something is in the way.
pub async fn run(context: &Context, client: &Client, args: PlanArgs) -> Result<(), Failure> {
    let doing = "plan the maintenance session";
    let planned = match &args.session {
        Some(name) => {
            let id = session::find(client, name).await?;
            client.get(doing, &session::path(&id, &["plan"])).json().await?
        }
        None => {
            let body = request::body(context, client, args.request, doing).await?;
            rehearse(client, doing, body).await?
        }
    };
    context.output.data(&planned, |theme| in_words(theme, &planned))?;
    match in_the_way(&planned["plan"]).len() {
        0 => Ok(()),
        count => {
            let why = format!("{count} thing{} in the way", if count == 1 { " is" } else { "s are" });
            Err(Failure::new(Kind::Conflict, "the plan cannot be carried out as things are", why))
        }
    }
}

/// Asks the manager for the plan of a request.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn rehearse(client: &Client, doing: &str, mut body: Map<String, Value>) -> Result<Value, Failure> {
    body.insert("dry_run".into(), true.into());
    let path = ["maintenance", "v1", "maintenance"];
    client.post(doing, &path).body(body.into()).json().await.map_err(request::hinted)
}

/// How a plan looks where it is shown beside a question.
#[must_use]
pub fn plain() -> Theme {
    Theme { color: false, width: None }
}

/// The plan in words.
#[must_use]
pub fn in_words(theme: &Theme, planned: &Value) -> String {
    let plan = &planned["plan"];
    let hosts = list(plan, "hosts");
    let mut text = format!("{}\n", theme.bold(&headline(plan)));
    let rules = rules::rows(&planned["session"], plan);
    if !rules.is_empty() {
        text.push_str(&format!("\n{}", table::record(theme, &rules)));
    }
    if !hosts.is_empty() {
        text.push_str(&format!("\n{}", table::list(theme, &columns(), hosts)));
    }
    let apart = apart(hosts);
    if !apart.is_empty() {
        text.push_str(&format!("\n{}\n{apart}", theme.bold("Why not more at once")));
    }
    let moves = moves(hosts);
    if !moves.is_empty() {
        text.push_str(&format!("\n{}\n{}", theme.bold("Where instances go"), table::list(theme, &landings(), &moves)));
    }
    for (head, lines) in [("In the way", in_the_way(plan)), ("Warnings", warnings(plan))] {
        if !lines.is_empty() {
            text.push_str(&format!("\n{}\n", theme.bold(head)));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    }
    text
}

fn headline(plan: &Value) -> String {
    let hosts = list(plan, "hosts").len();
    let waves = list(plan, "hosts").iter().filter_map(|host| host["wave"].as_u64()).max().unwrap_or(0);
    let many = |count: u64, one: &str| format!("{count} {one}{}", if count == 1 { "" } else { "s" });
    match (hosts, plan["lanes"].as_u64().unwrap_or(0)) {
        (0, _) => "No host is left to be worked on".into(),
        (1, _) => "1 host".into(),
        (hosts, 1) => format!("{hosts} hosts, one after the other"),
        (hosts, lanes) => {
            format!("{hosts} hosts in {}, at most {} at a time", many(waves, "wave"), many(lanes, "host"))
        }
    }
}

fn columns() -> Vec<Column> {
    vec![
        Column::new("WAVE", |v| show(v, "wave")).whole(),
        Column::new("HOST", |v| show(v, "name")).whole(),
        Column::new("DOMAIN", |v| show(v, "domain")).whole().spare(),
        Column::new("MOVES", |v| list(v, "landings").len().to_string()).whole(),
        Column::new("EFFECT", |v| impact(v).into()).whole(),
        Column::new("ITS PLACE, BECAUSE", |v| show(v, "why")),
    ]
}

fn impact(host: &Value) -> &'static str {
    match (list(host, "blockers").is_empty(), host["impact"].as_str()) {
        (false, _) => "blocked",
        (_, Some("reboot")) => "reboots",
        (_, Some("maybe_reboot")) => "may reboot",
        _ => "no reboot",
    }
}

/// Why waves end where they end, each reason once.
fn apart(hosts: &[Value]) -> String {
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for host in hosts {
        let Some(why) = string(host, "apart") else { continue };
        let wave = show(host, "wave");
        match reasons.iter_mut().find(|(known, _)| *known == why) {
            Some((_, waves)) => waves.push(wave),
            None => reasons.push((why, vec![wave])),
        }
    }
    let line = |(why, waves): (&str, Vec<String>)| {
        let which = match waves.as_slice() {
            [one] => format!("wave {one} waits for the one before"),
            [first, .., last] if waves.len() > 3 => format!("waves {first} to {last} wait for those before"),
            several => format!("waves {} wait for those before", several.join(", ")),
        };
        format!("  {which}: {}\n", human::clean(why))
    };
    reasons.into_iter().map(line).collect()
}

/// All moves, each with the host that is left.
fn moves(hosts: &[Value]) -> Vec<Value> {
    let of_host = |host: &Value| -> Vec<Value> {
        let from = |landing: &Value| {
            let mut landing = landing.clone();
            landing["from"] = host["name"].clone();
            landing
        };
        list(host, "landings").iter().map(from).collect()
    };
    hosts.iter().flat_map(of_host).collect()
}

fn landings() -> Vec<Column> {
    vec![
        Column::new("FROM", |v| show(v, "from")).whole(),
        Column::new("INSTANCE", |v| show(v, "instance")).whole(),
        Column::new("HOW", |v| show(v, "action").to_lowercase().replace('_', " ")).whole(),
        Column::new("TO", |v| show(v, "to")).whole(),
        Column::new("ELSE TO", |v| some(list(v, "others"))),
    ]
}

/// The first few names.
fn some(names: &[Value]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = names.iter().take(SHOWN).filter_map(Value::as_str).collect();
    match names.len() {
        0 => UNKNOWN.into(),
        count if count > SHOWN => format!("{} and {} more", human::clean(&shown.join(", ")), count - SHOWN),
        _ => human::clean(&shown.join(", ")),
    }
}

/// What keeps the plan from being carried out.
fn in_the_way(plan: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    let missing = &plan["room"]["missing"];
    if missing.is_object() {
        lines.push(format!("capacity: {}", rules::missing(missing)));
    }
    for host in list(plan, "hosts") {
        for blocker in list(host, "blockers") {
            let instance = string(blocker, "instance").map_or_else(String::new, |id| format!(", instance {id}"));
            let line =
                format!("{}{instance}: {} ({})", show(host, "name"), show(blocker, "text"), show(blocker, "code"));
            lines.push(human::clean(&line));
        }
    }
    lines
}

fn warnings(plan: &Value) -> Vec<String> {
    list(plan, "warnings").iter().filter_map(Value::as_str).map(human::clean).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn planned() -> Value {
        let host = |name: &str, wave: u32, apart: Value, landings: Value, blockers: Value| {
            json!({"name": name, "wave": wave, "apart": apart, "domain": "r1", "why": "it has no instances",
                "landings": landings, "blockers": blockers, "impact": "reboot"})
        };
        let landing =
            json!([{"instance": "db-1", "action": "LIVE_MIGRATE", "to": "a", "others": ["c", "d", "e", "f"]}]);
        let blocker = json!([{"code": "affinity", "instance": "x", "text": "no other place"}]);
        let alone = "one host at a time is asked for";
        json!({"dry_run": true, "plan": {
            "hosts": [
                host("a", 1, Value::Null, json!([]), json!([])),
                host("b", 2, alone.into(), landing, json!([])),
                host("c", 3, alone.into(), json!([]), blocker),
            ],
            "room": {"spare": {"empty": ["a"]}}, "lanes": 1, "warnings": ["watch\u{1b} out"],
        }})
    }

    #[test]
    fn a_plan_says_why() {
        let text = in_words(&Theme::plain(), &planned());
        for part in [
            "3 hosts, one after the other\n",
            "1     a     r1      0      reboots  it has no instances\n",
            "  waves 2, 3 wait for those before: one host at a time is asked for\n",
            "b     db-1      live migrate  a   c, d, e and 1 more\n",
            "  c, instance x: no other place (affinity)\n",
            "  watch\u{fffd} out\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
    }

    #[test]
    fn missing_room_is_in_the_way() {
        let mut plan = planned()["plan"].take();
        assert_eq!(in_the_way(&plan).len(), 1);
        plan["room"] = json!({"missing": {"size": {"vcpus": 4, "memory_mib": 2048, "disk_gib": 0}, "remove": ["i-1"]}});
        assert_eq!(in_the_way(&plan).len(), 2);
        assert!(in_the_way(&plan)[0].contains("i-1"), "{:?}", in_the_way(&plan));
    }
}
