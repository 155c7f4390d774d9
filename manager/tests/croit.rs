//! The croit dialect from outside, by function call (spec/hooks.md §13.1): every endpoint, with and without pages, the role
//! matrix, bad tokens, and what the traps of §12 ask for.
// Helpers outside of test functions are tests all the same.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "native/app.rs"]
#[allow(dead_code, reason = "the suites of the native API use more of it")]
mod app;
#[path = "croit/audit.rs"]
mod audit;
#[path = "croit/client.rs"]
mod client;
#[path = "croit/hooks.rs"]
mod hooks;
#[path = "croit/rights.rs"]
mod rights;
#[path = "croit/runs.rs"]
mod runs;
#[path = "croit/scripts.rs"]
mod scripts;
#[path = "croit/seed.rs"]
mod seed;
#[path = "croit/servers.rs"]
mod servers;
#[path = "croit/settings.rs"]
mod settings;
#[path = "support/manager.rs"]
mod support;
#[path = "croit/tasks.rs"]
mod tasks;
#[path = "croit/tokens.rs"]
mod tokens;

use serde_json::Value;

use app::App;

/// A pagination parameter, ready for a URL.
pub fn pagination(value: &Value) -> String {
    let text: String = value.to_string().bytes().map(|b| format!("%{b:02X}")).collect();
    format!("pagination={text}")
}

/// A script that does nothing, under that name; returns its number.
pub async fn script(app: &App, name: &str) -> i64 {
    let body = serde_json::json!({"name": name, "contents": "#!/bin/sh\ntrue\n"});
    app.post("/api/events/scripts", body).await.expect(200)["id"].as_i64().unwrap()
}
