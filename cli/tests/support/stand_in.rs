//! A small HTTP server that stands in for a manager: answers from a function and remembers what it was asked.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// One request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Path with query, still escaped.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// `GET /api/hosts`, without the query.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target.split('?').next().unwrap_or_default())
    }
}

/// What to answer: status, further headers, body.
pub struct Answer(pub u16, pub Vec<(&'static str, String)>, pub String);

impl Answer {
    pub fn json(status: u16, value: Value) -> Self {
        Self(status, vec![("Content-Type", "application/json".into())], value.to_string())
    }

    pub fn empty(status: u16) -> Self {
        Self(status, Vec::new(), String::new())
    }
}

/// The server. Its threads end with the test program.
pub struct StandIn {
    pub url: String,
    pub seen: Arc<Mutex<Vec<Request>>>,
}

impl StandIn {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    pub fn on(listener: TcpListener, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (record, answer) = (Arc::clone(&seen), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (record, answer) = (Arc::clone(&record), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &record, &*answer));
            }
        });
        Self { url, seen }
    }

    /// Everything that was asked, as `METHOD /path`.
    pub fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(Request::line).collect()
    }

    pub fn last(&self) -> Request {
        self.seen.lock().unwrap().last().unwrap().clone()
    }

    /// Runs `hostler` against it with the token `t0`.
    pub fn hostler(&self, args: &[&str]) -> Output {
        hostler(&[&["--url", &self.url, "--token", "t0"], args].concat())
    }
}

fn serve(stream: TcpStream, record: &Mutex<Vec<Request>>, answer: &(dyn Fn(&Request) -> Answer + Send + Sync)) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = read(&mut reader) {
        record.lock().unwrap().push(request.clone());
        let Answer(status, headers, body) = answer(&request);
        let mut text = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if writer.write_all(format!("{text}\r\n{body}").as_bytes()).is_err() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|length| *length > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_string(), value.trim().to_string()));
    }
    let mut request = Request { method, target, headers, body: Value::Null };
    let length = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    request.body = serde_json::from_slice(&body).unwrap_or_default();
    Some(request)
}

/// Runs `hostler` without any of this user's surroundings.
pub fn hostler(args: &[&str]) -> Output {
    command(env!("CARGO_BIN_EXE_hostler")).args(args).output().unwrap()
}

/// A command that sees nothing of this user's connection settings.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for name in ["URL", "TOKEN", "CA_FILE", "STATE_DIR", "USERNAME", "PASSWORD", "PROJECT", "DOMAIN"] {
        command.env_remove(format!("HOSTLER_{name}"));
    }
    command.env("HOSTLER_STATE_DIR", "/nonexistent/hostler");
    command.stdin(std::process::Stdio::null());
    command
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}
