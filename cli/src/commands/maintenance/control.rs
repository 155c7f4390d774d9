//! Changing a session that is under way (spec/maintenance.md §1.6, §1.7).

use reqwest::Method;
use serde_json::{Value, json};

use super::session::{self, called, hosts_in};
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::prompt;

/// The phases of hosts that a retry is for.
const RETRIED: [&str; 3] = ["failed", "skipped", "held"];

/// The session that a name means, as it is now.
async fn named(client: &Client, name: &str) -> Result<Value, Failure> {
    session::now(client, &session::find(client, name).await?).await
}

fn id(session: &Value) -> &str {
    session["id"].as_str().unwrap_or_default()
}

fn failed(session: &Value) -> bool {
    session["state"] == "MAINTENANCE_FAILED"
}

/// Changes a session and says what came of it.
async fn change(
    context: &Context,
    client: &Client,
    session: &Value,
    doing: &str,
    body: Value,
    said: &str,
) -> Result<(), Failure> {
    let doing = format!("{doing} maintenance session {}", called(session));
    let path = session::path(id(session), &[]);
    let answer = client.call(Method::PUT, doing, &path).body(body).json().await.map_err(hinted)?;
    if context.output.for_people() {
        context.output.note(said);
        return Ok(());
    }
    context.output.data(&answer, |_| String::new())
}

fn hinted(failure: Failure) -> Failure {
    match failure.kind {
        Kind::Conflict => failure.hint("`hostler maintenance show` says where the session stands"),
        _ => failure,
    }
}

/// `maintenance pause`.
///
/// # Errors
/// There is no such session, or it cannot be paused.
pub async fn pause(context: &Context, client: &Client, name: &str) -> Result<(), Failure> {
    let session = named(client, name).await?;
    let called = called(&session);
    let said = format!(
        "Session {called} pauses after the steps in flight. `hostler maintenance resume {called}` lets it go on."
    );
    change(context, client, &session, "pause", json!({ "paused": true }), &said).await
}

/// `maintenance resume`.
///
/// # Errors
/// There is no such session, or it cannot go on.
pub async fn resume(context: &Context, client: &Client, name: &str) -> Result<(), Failure> {
    let session = named(client, name).await?;
    let called = called(&session);
    let (body, said) = if failed(&session) {
        let from = session["prevState"].as_str().unwrap_or("where it failed");
        (json!({}), format!("Session {called} goes on from {from}. `hostler maintenance watch {called}` follows it."))
    } else if session["paused"] == true {
        (
            json!({ "paused": false }),
            format!("Session {called} goes on. `hostler maintenance watch {called}` follows it."),
        )
    } else {
        let why = "it is neither paused nor has it failed";
        return Err(Failure::new(Kind::Conflict, format!("cannot resume maintenance session {called}"), why)
            .hint("`hostler maintenance show` says where the session stands"));
    };
    change(context, client, &session, "resume", body, &said).await
}

/// `maintenance retry`.
///
/// # Errors
/// There is no such session, no host failed, or a host did not.
pub async fn retry(context: &Context, client: &Client, name: &str, hosts: Vec<String>) -> Result<(), Failure> {
    let session = named(client, name).await?;
    let called = called(&session);
    let hosts = if hosts.is_empty() { hosts_in(&session, &RETRIED) } else { hosts };
    if hosts.is_empty() && !failed(&session) {
        return Err(Failure::new(
            Kind::Conflict,
            format!("cannot retry in maintenance session {called}"),
            "no host failed",
        )
        .hint("`hostler maintenance show` says where the session stands"));
    }
    let what = if hosts.is_empty() { "what failed".to_owned() } else { hosts.join(", ") };
    let body = if hosts.is_empty() { json!({}) } else { json!({ "retry_hosts": hosts }) };
    let said = format!("Session {called} tries {what} again. `hostler maintenance watch {called}` follows it.");
    change(context, client, &session, "retry hosts of", body, &said).await
}

/// `maintenance skip`.
///
/// # Errors
/// There is no such session, or a host cannot be left out.
pub async fn skip(context: &Context, client: &Client, name: &str, hosts: &[String]) -> Result<(), Failure> {
    let session = named(client, name).await?;
    let called = called(&session);
    let next = if failed(&session) {
        format!(" `hostler maintenance resume {called}` goes on with the other hosts.")
    } else {
        String::new()
    };
    let said = format!("Session {called} leaves out {}; they go back into service.{next}", hosts.join(", "));
    change(context, client, &session, "skip hosts of", json!({ "skip_hosts": hosts }), &said).await
}

/// `maintenance abort`.
///
/// # Errors
/// There is no such session, it is over, or the answer was not yes.
pub async fn abort(context: &Context, client: &Client, name: &str, yes: bool) -> Result<(), Failure> {
    let session = named(client, name).await?;
    let called = called(&session);
    prompt::confirm(yes, &format!("End session {called} before it is done?")).await?;
    let said = format!(
        "Session {called} ends: hosts at work finish, no other begins. `hostler maintenance resume {called}` lets it go on, \
         `hostler maintenance delete {called}` gives everything back."
    );
    change(context, client, &session, "abort", json!({ "state": "MAINTENANCE_FAILED" }), &said).await
}

/// `maintenance approve`.
///
/// # Errors
/// There is no such session, or nothing waits for an approval.
pub async fn approve(context: &Context, client: &Client, name: &str) -> Result<(), Failure> {
    let session = named(client, name).await?;
    let said = format!("Session {} is approved and goes on.", called(&session));
    change(context, client, &session, "approve", json!({ "approve": true }), &said).await
}

/// `maintenance delete`.
///
/// # Errors
/// There is no such session, or the answer was not yes.
pub async fn delete(context: &Context, client: &Client, name: &str, hold: bool, yes: bool) -> Result<(), Failure> {
    let session = named(client, name).await?;
    let called = called(&session);
    let over = session["state"] == "MAINTENANCE_DONE";
    let and = match (over, hold) {
        (true, _) => "",
        (false, true) => " It ends, and the host at work stays out of service.",
        (false, false) => " It ends, and everything that it changed is given back.",
    };
    prompt::confirm(yes, &format!("Delete session {called}?{and}")).await?;
    let mode = hold.then_some("hold");
    let doing = format!("delete maintenance session {called}");
    client.delete(doing, &session::path(id(&session), &[])).query("mode", mode).done().await?;
    let id = id(&session);
    context
        .output
        .note(&format!("Session {called} is deleted.{and} Its history stays: `hostler maintenance history {id}`."));
    Ok(())
}
