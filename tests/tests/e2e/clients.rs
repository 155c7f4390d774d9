//! The stock clients against a real manager with real agents (spec/introspection.md §5, §8.3, §8.4).

use std::path::Path;
use std::process::Command;

use hostler_tests::lab::{Agent, Manager, Options, python};
use serde_json::json;

/// A manager with two connected hosts and one that is not.
struct Cloud {
    manager: Manager,
    _agents: Vec<Agent>,
}

impl Cloud {
    async fn start(settings: &str) -> Self {
        let options = Options { settings: settings.to_owned(), ..Options::default() };
        let manager = Manager::with(options).await.unwrap();
        let mut agents = Vec::new();
        for name in ["node-1", "node-2", "node-3"] {
            agents.push(Agent::start(&manager, name).await.unwrap());
            manager.introspected(name).await.unwrap();
        }
        let mut off = Agent::start(&manager, "node-off").await.unwrap();
        manager.introspected("node-off").await.unwrap();
        off.kill().unwrap();
        manager.host_is("node-off", "offline").await.unwrap();
        Self { manager, _agents: agents }
    }
}

/// Runs one of the programs of tests/python, and shows what it said if it fails.
fn run(program: &str, environment: &[(&str, &str)]) {
    let Some(python) = python() else { return };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let output = Command::new(python)
        .arg(folder.join(program))
        .envs([
            ("HOSTLER_HOST", "node-1"),
            ("HOSTLER_MORE_HOSTS", "node-2,node-3"),
            ("HOSTLER_OFFLINE_HOST", "node-off"),
        ])
        .envs(environment.iter().copied())
        .output()
        .unwrap();
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program}\n{said}\n{complained}");
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() > 5, "{program} checked too little:\n{said}");
}

async fn run_everywhere(program: &str) {
    let cloud = Cloud::start("").await;
    let manager = &cloud.manager;
    let project = manager.call("GET", "/identity/v3/projects?name=admin", None).await.unwrap();
    let user = manager.call("GET", "/identity/v3/users?name=admin", None).await.unwrap();
    let (project, user) = (&project.body["projects"][0]["id"], &user.body["users"][0]["id"]);
    let credential = credential(manager, user.as_str().unwrap(), project.as_str().unwrap()).await;
    let environment = [
        ("HOSTLER_URL", manager.url.as_str()),
        ("HOSTLER_TOKEN", manager.token()),
        ("HOSTLER_USERNAME", "admin"),
        ("HOSTLER_PASSWORD", "lab-password"),
        ("HOSTLER_PROJECT", "admin"),
        ("HOSTLER_CRED_ID", credential.0.as_str()),
        ("HOSTLER_CRED_SECRET", credential.1.as_str()),
    ];
    run(program, &environment);
}

/// An application credential of the administrator, made as the administrator.
async fn credential(manager: &Manager, user: &str, project: &str) -> (String, String) {
    let login = json!({ "auth": {
        "identity": { "methods": ["password"], "password": { "user": { "id": user, "password": "lab-password" } } },
        "scope": { "project": { "id": project } },
    }});
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.post(format!("{}/identity/v3/auth/tokens", manager.url)).json(&login).send().await.unwrap();
    let token = answer.headers()["x-subject-token"].to_str().unwrap().to_owned();
    let path = format!("{}/identity/v3/users/{user}/application_credentials", manager.url);
    let body = json!({ "application_credential": { "name": "lab" } });
    let answer = http.post(path).header("X-Auth-Token", token).json(&body).send().await.unwrap();
    let made: serde_json::Value = answer.json().await.unwrap();
    let made = &made["application_credential"];
    (made["id"].as_str().unwrap().to_owned(), made["secret"].as_str().unwrap().to_owned())
}

async fn run_without_authentication(program: &str) {
    let cloud = Cloud::start("[auth]\nstrategy = \"none\"\n").await;
    run(program, &[("HOSTLER_NOAUTH_URL", &cloud.manager.url)]);
}

async fn run_with_http_basic(program: &str) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("htpasswd");
    let hash = bcrypt::hash("basic-password", 4).unwrap();
    std::fs::write(&file, format!("operator:{hash}\n")).unwrap();
    let cloud = Cloud::start(&format!("[auth]\nstrategy = \"http_basic\"\nhtpasswd_file = {file:?}\n")).await;
    let environment = [
        ("HOSTLER_BASIC_URL", cloud.manager.url.as_str()),
        ("HOSTLER_BASIC_USERNAME", "operator"),
        ("HOSTLER_BASIC_PASSWORD", "basic-password"),
    ];
    run(program, &environment);
}

#[tokio::test]
async fn spec_8_3_command_line_with_identity_and_tokens() {
    run_everywhere("cli.py").await;
}

#[tokio::test]
async fn spec_8_3_command_line_without_authentication() {
    run_without_authentication("cli.py").await;
}

#[tokio::test]
async fn spec_8_3_command_line_with_http_basic() {
    run_with_http_basic("cli.py").await;
}

#[tokio::test]
async fn spec_8_4_sdk_with_identity_and_tokens() {
    run_everywhere("sdk.py").await;
}

#[tokio::test]
async fn spec_8_4_sdk_without_authentication() {
    run_without_authentication("sdk.py").await;
}

#[tokio::test]
async fn spec_8_4_sdk_with_http_basic() {
    run_with_http_basic("sdk.py").await;
}

#[tokio::test]
async fn library_with_identity_and_tokens() {
    run_everywhere("library.py").await;
}

#[tokio::test]
async fn library_without_authentication() {
    run_without_authentication("library.py").await;
}

#[tokio::test]
async fn identity_look_ups() {
    run_everywhere("identity.py").await;
}

#[tokio::test]
async fn the_inventory_of_this_machine_agrees_with_other_tools() {
    let Some(python) = python() else { return };
    let manager = Manager::start().await.unwrap();
    let _agent = Agent::start(&manager, "node-1").await.unwrap();
    manager.introspected("node-1").await.unwrap();
    let document = manager.get("/v1/introspection/node-1/data").await.unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), document.to_string()).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/crosscheck.py");
    let output = Command::new(python).arg(program).arg(file.path()).env("HOSTLER_HOST", "node-1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
}
