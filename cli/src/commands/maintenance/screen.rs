//! The picture of a session that is watched: hosts by phase, what each does and since when, what is waited for and until when.

use std::time::Duration;

use hostler_common::time::Timestamp;
use serde_json::{Value, json};

use super::session::called;
use super::show::phase;
use crate::output::field::{UNKNOWN, list, show, string};
use crate::output::table::{self, Column};
use crate::output::{Theme, human};

/// How many signs the bar has.
const BAR: usize = 30;

/// How many hosts are named in a phase, and how many are shown one by one.
const NAMES: usize = 8;
const HOSTS: usize = 20;

/// How many lines of the reason of a failure are shown.
const LINES: usize = 6;

/// The whole picture.
#[must_use]
pub fn frame(theme: &Theme, now: &Value, at: Timestamp) -> String {
    let percent = usize::try_from(now["percent"].as_u64().unwrap_or(0)).unwrap_or(100).min(100);
    let full = percent * BAR / 100;
    let bar = format!("[{}{}] {percent:>3} %", "#".repeat(full), ".".repeat(BAR - full));
    let title = match string(now, "name") {
        Some(name) => format!("Maintenance {}", human::clean(name)),
        None => format!("Maintenance {}", called(now)),
    };
    let mut text =
        format!("{}  {}, {}\n{bar}  {}\n", theme.bold(&title), show(now, "state"), phase(now), times(now, at));
    let rows: Vec<(&str, String)> = list(now, "hostsByPhase").iter().map(phase_row).collect();
    if !rows.is_empty() {
        text.push_str(&format!("\n{}\n{}", theme.bold("Hosts"), indented(&table::record(theme, &rows))));
    }
    text + &what_is_up(theme, now, at)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

/// A phase with how many hosts are in it and who they are. The names of phases are known, so that the table borrows them.
fn phase_row(row: &Value) -> (&str, String) {
    let count = row["count"].as_u64().unwrap_or(0);
    let names: Vec<String> =
        list(row, "names").iter().take(NAMES).filter_map(Value::as_str).map(human::clean).collect();
    let more = usize::try_from(count).unwrap_or(usize::MAX).saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (row["phase"].as_str().unwrap_or(UNKNOWN), format!("{count:>4}  {}{more}", names.join(", ")))
}

/// When it began or begins, and when it may be over.
fn times(now: &Value, at: Timestamp) -> String {
    let start = string(now, "maintenanceAt").unwrap_or_default();
    let begun = if human::parse(start).is_some_and(|start| start <= at) { "began" } else { "begins" };
    let over = match string(now, "endsAt") {
        Some(end) => format!("; over {}", about(end, at)),
        None if nobody_is_done(now) => "; when it is over can be said after the first host".into(),
        None => String::new(),
    };
    format!("{begun} {}{over}", human::ago(start, at))
}

/// Whether it goes on, with hosts of which none is done yet: nothing says how long one takes.
fn nobody_is_done(now: &Value) -> bool {
    let goes_on = !matches!(now["phase"].as_str(), Some("over" | "unwinding" | "paused" | "pausing") | None);
    let phases = list(now, "hostsByPhase");
    goes_on && !phases.is_empty() && !phases.iter().any(|row| row["phase"] == "done")
}

fn about(end: &str, at: Timestamp) -> String {
    match human::parse(end) {
        Some(moment) if moment <= at => "soon".into(),
        _ => format!("{}, about {}", human::ago(end, at), human::moment(end)),
    }
}

/// How many hosts are in which phase, in one line.
#[must_use]
pub fn counts(now: &Value) -> String {
    let one = |row: &Value| format!("{} {}", show(row, "count"), show(row, "phase").replace('_', " "));
    let all: Vec<String> = list(now, "hostsByPhase").iter().map(one).collect();
    if all.is_empty() { UNKNOWN.into() } else { all.join(", ") }
}

/// What hosts do, what is waited for, what failed and what people should know.
#[must_use]
pub fn what_is_up(theme: &Theme, now: &Value, at: Timestamp) -> String {
    let mut text = String::new();
    let mut part = |head: &str, body: String| {
        if !body.is_empty() {
            text.push_str(&format!("\n{}\n{body}", theme.bold(head)));
        }
    };
    part("At work", at_work(theme, now, at));
    part("Waits for", waits(now, at));
    part("Failed", failures(now));
    let warnings = list(now, "warnings").iter().filter_map(Value::as_str);
    part("Warnings", warnings.map(|line| format!("  {}\n", human::clean(line))).collect());
    text
}

fn at_work(theme: &Theme, now: &Value, at: Timestamp) -> String {
    let busy: Vec<&Value> = list(now, "hosts").iter().filter(|host| host["doing"].is_object()).collect();
    if busy.is_empty() {
        return String::new();
    }
    let row = |host: &&Value| {
        let doing = &host["doing"];
        let detail = string(doing, "detail").map_or_else(String::new, |detail| format!(": {detail}"));
        json!({
            "name": host["name"], "phase": host["phase"], "doing": format!("{}{detail}", show(doing, "text")),
            "for": string(doing, "since").map(|since| age(since, at)),
            "until": string(doing, "until").map(|until| human::ago(until, at)),
        })
    };
    let rows: Vec<Value> = busy.iter().take(HOSTS).map(row).collect();
    let columns = [
        Column::new("HOST", |v| show(v, "name")).whole(),
        Column::new("PHASE", |v| show(v, "phase").replace('_', " ")).whole(),
        Column::new("FOR", |v| show(v, "for")).whole(),
        Column::new("AT MOST", |v| show(v, "until")).whole(),
        Column::new("DOES", |v| show(v, "doing")),
    ];
    let narrow = Theme { width: theme.width.map(|width| width.saturating_sub(2)), ..*theme };
    let more = match busy.len() {
        count if count > HOSTS => format!("  and {} more\n", count - HOSTS),
        _ => String::new(),
    };
    indented(&table::list(&narrow, &columns, &rows)) + &more
}

/// How long ago a moment was, in a few signs.
fn age(since: &str, at: Timestamp) -> String {
    let past = human::parse(since).map_or(Duration::ZERO, |since| at.since(since));
    match past.as_secs() {
        seconds @ 0..10 => format!("{seconds} s"),
        _ => human::duration(Duration::from_secs(past.as_secs())),
    }
}

/// What the session waits for, and what to do where a person is meant.
fn waits(now: &Value, at: Timestamp) -> String {
    let line = |wait: &Value| format!("  {}\n", wait_line(now, wait, at));
    let own = list(now, "waits").iter().map(line);
    let approvals = list(now, "hosts").iter().filter(|host| host["doing"]["for"] == "approval");
    let approvals = approvals.map(|host| {
        format!("  somebody to approve host {}: `hostler maintenance approve {}`\n", show(host, "name"), called(now))
    });
    let unknown = list(now, "hosts").iter().filter(|host| host["doing"]["for"] == "outcome");
    let unknown = unknown.map(|host| {
        let name = show(host, "name");
        format!(
            "  somebody to decide about host {name}: `hostler maintenance retry {0} {name}` or `skip {0} {name}`\n",
            called(now)
        )
    });
    own.chain(approvals).chain(unknown).collect()
}

/// One thing that is waited for, in a line.
#[must_use]
pub fn wait_line(now: &Value, wait: &Value, at: Timestamp) -> String {
    let mut text = show(wait, "text");
    if let Some(host) = string(wait, "host") {
        text.push_str(&format!(" (host {})", human::clean(host)));
    }
    if let Some(detail) = string(wait, "detail") {
        text.push_str(&format!(", {}", human::clean(detail)));
    }
    match string(wait, "until") {
        Some(until) => text.push_str(&format!(", until {} ({})", human::moment(until), human::ago(until, at))),
        None if wait["person"] == true => {}
        None => text.push_str(", without a limit of time"),
    }
    let command = match wait["for"].as_str() {
        Some("approval") => "approve",
        Some("resume") => "resume",
        Some("continue") => "retry",
        _ => return text,
    };
    format!("{text}: `hostler maintenance {command} {}`", called(now))
}

/// Hosts that failed, and why the session did.
fn failures(now: &Value) -> String {
    let mut text = String::new();
    let failed = |host: &&Value| matches!(host["phase"].as_str(), Some("failed" | "held" | "skipped"));
    let hosts: Vec<&Value> = list(now, "hosts").iter().filter(failed).collect();
    for host in hosts.iter().take(HOSTS) {
        let name = show(host, "name");
        let Some(why) = string(host, "reason.text") else { continue };
        text.push_str(&told(&format!("{name} ({})", show(host, "phase")), why));
    }
    let own = string(now, "reason.text").filter(|_| now["state"] == "MAINTENANCE_FAILED");
    let known = |why: &str| hosts.iter().any(|host| string(host, "reason.text") == Some(why));
    if let Some(why) = own.filter(|why| !known(why)) {
        text.push_str(&told("the session", why));
    }
    text
}

/// Who failed and why: the first line beside the name, the end of the output below it.
fn told(who: &str, why: &str) -> String {
    let lines: Vec<&str> = why.trim_end().lines().collect();
    let mut text = format!("  {}: {}\n", human::clean(who), human::clean(lines.first().copied().unwrap_or_default()));
    let rest = lines.get(1..).unwrap_or_default();
    for line in &rest[rest.len().saturating_sub(LINES)..] {
        text.push_str(&format!("    | {}\n", human::plain(line)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Value {
        let at = |second: u32| format!("2031-04-12T22:10:{second:02}.000000Z");
        json!({
            "id": "aaaa1111-0000-4000-8000-000000000001", "name": "spring", "state": "START_MAINTENANCE",
            "phase": "working", "percent": 33, "maintenanceAt": "2031-04-12T22:05:00Z", "endsAt": "2031-04-12T22:20:05Z",
            "hostsByPhase": [{"phase": "pending", "count": 9, "names": ["h1", "h2", "h3", "h4", "h5", "h6", "h7", "h8", "h9"]},
                {"phase": "working", "count": 1, "names": ["b"]}],
            "hosts": [
                {"name": "b", "phase": "working", "doing": {"for": "plugin", "text": "runs the script fw.sh",
                    "since": at(0), "until": "2031-04-12T23:10:00Z", "detail": null, "person": false}},
                {"name": "c", "phase": "waiting_approval", "doing": {"for": "approval", "text": "waits for an approval",
                    "since": at(1), "until": null, "person": true}},
                {"name": "d", "phase": "failed", "doing": null,
                    "reason": {"code": "step.failed", "text": "it ended with status 3\nlast\u{1b}[2J words"}},
            ],
            "waits": [{"for": "replies", "text": "project p to answer MAINTENANCE", "until": "2031-04-12T22:10:45Z",
                "detail": "asked 1 of 3 times", "person": false}],
            "warnings": ["mind the gap"],
        })
    }

    #[test]
    fn a_picture_has_hosts_steps_waits_and_failures() {
        let text = frame(&Theme::plain(), &now(), human::parse("2031-04-12T22:10:05Z").unwrap());
        for part in [
            "Maintenance spring  START_MAINTENANCE, working\n",
            "[#########.....................]  33 %  began 5 min ago; over in 10 min, about 2031-04-12 22:20:05Z\n",
            "  pending     9  h1, h2, h3, h4, h5, h6, h7, h8 and 1 more\n",
            "  b     working           5 s  in 59 min  runs the script fw.sh\n",
            "  project p to answer MAINTENANCE, asked 1 of 3 times, until 2031-04-12 22:10:45Z (in 40 s)\n",
            "  somebody to approve host c: `hostler maintenance approve spring`\n",
            "  d (failed): it ended with status 3\n    | last words\n",
            "  mind the gap\n",
        ] {
            assert!(text.contains(part), "{part:?} is not in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn the_end_can_be_told_after_the_first_host() {
        let at = human::parse("2031-04-12T22:10:05Z").unwrap();
        let mut session = now();
        session["endsAt"] = Value::Null;
        let head = |session: &Value| frame(&Theme::plain(), session, at).lines().nth(1).unwrap().to_owned();
        assert!(head(&session).ends_with("began 5 min ago; when it is over can be said after the first host"));
        session["hostsByPhase"] = json!([{"phase": "done", "count": 1, "names": ["a"]}]);
        assert!(head(&session).ends_with("began 5 min ago"), "all is done but the end");
        session["hostsByPhase"] = json!([{"phase": "pending", "count": 1, "names": ["a"]}]);
        session["phase"] = "over".into();
        assert!(head(&session).ends_with("began 5 min ago"));
    }

    #[test]
    fn what_has_no_limit_says_so() {
        let wait = json!({"for": "window", "text": "its window to open, at 22:00 UTC", "until": null, "person": false});
        assert!(wait_line(&now(), &wait, Timestamp::from_micros(0)).ends_with("without a limit of time"));
        let wait = json!({"for": "resume", "text": "somebody to let it go on", "person": true});
        assert!(wait_line(&now(), &wait, Timestamp::from_micros(0)).ends_with("`hostler maintenance resume spring`"));
    }
}
