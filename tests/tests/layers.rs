//! The shape of the code (models.md §3): which part may name which, how long a file may be, and nothing unfinished.
//!
//! The first half reads the sources, the second the graph of crates that Cargo resolved.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What neither the core nor the vocabulary may name: I/O, async runtimes, clocks, randomness.
const IMPURE: &[&str] = &[
    "tokio",
    "axum",
    "tonic",
    "sqlx",
    "hyper",
    "reqwest",
    "futures",
    "rustls",
    "std::net",
    "std::fs",
    "std::process",
    "std::env",
    "std::thread",
    "std::io",
    "SystemTime",
    "Instant",
    "getrandom",
    "Uuid::new_v4",
    "Uuid::now_v7",
    "jiff::Timestamp::now",
];

/// Longest file, in lines.
const LONGEST: usize = 500;

/// A part of the sources, what it may not name, and the files that are excused from one of these names, with the reason.
struct Layer {
    folder: &'static str,
    forbidden: &'static [&'static str],
    doors: &'static [(&'static str, &'static str)],
}

const LAYERS: &[Layer] = &[
    Layer { folder: "manager/core/src", forbidden: IMPURE, doors: &[] },
    Layer {
        folder: "common/src",
        forbidden: IMPURE,
        // The one door to the current time.
        doors: &[("common/src/time.rs", "jiff::Timestamp::now")],
    },
    Layer {
        folder: "common/daemon/src",
        forbidden: &["hostler_manager", "hostler_agent", "hostler_core", "hostler_proto", "sqlx", "axum", "tonic"],
        doors: &[],
    },
    Layer { folder: "manager/src/api", forbidden: &["sqlx", "hostler_agent"], doors: &[] },
    Layer {
        folder: "manager/src/store",
        forbidden: &[
            "crate::api",
            "crate::fleet",
            "crate::engine",
            "crate::identity",
            "http",
            "axum",
            "tonic",
            "hyper",
            "hostler_proto",
        ],
        doors: &[],
    },
    Layer {
        folder: "manager/src/engine",
        forbidden: &["crate::api", "crate::fleet", "crate::identity", "http", "axum", "tonic", "hyper", "sqlx"],
        doors: &[],
    },
    Layer { folder: "manager/src/fleet", forbidden: &["crate::api", "axum", "sqlx"], doors: &[] },
    Layer { folder: "agent/src", forbidden: &["hostler_manager", "hostler_core", "sqlx", "axum"], doors: &[] },
    Layer { folder: "cli/src", forbidden: &["hostler_manager", "hostler_agent", "hostler_core", "sqlx"], doors: &[] },
    Layer { folder: "proto/src", forbidden: &["hostler_manager", "hostler_agent", "hostler_core"], doors: &[] },
];

/// Which crates of the workspace a crate may depend on, in whatever way.
const CRATES: &[(&str, &[&str])] = &[
    ("hostler-common", &[]),
    ("hostler-core", &["hostler-common"]),
    ("hostler-proto", &["hostler-common"]),
    ("hostler-daemon", &["hostler-common"]),
    ("hostler-agent", &["hostler-common", "hostler-daemon", "hostler-proto"]),
    ("hostler-cli", &["hostler-common"]),
    ("hostler-manager", &["hostler-common", "hostler-core", "hostler-daemon", "hostler-proto"]),
];

/// Crates that may not be anywhere below the pure ones.
const IMPURE_CRATES: &[&str] =
    &["tokio", "axum", "tonic", "sqlx", "hyper", "reqwest", "mio", "futures", "rustls", "rand", "async-trait"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// All Rust sources below a folder of the repository, by their path in it.
fn sources(folder: &str) -> BTreeMap<String, String> {
    let root = root();
    let (mut found, mut open) = (BTreeMap::new(), vec![root.join(folder)]);
    while let Some(path) = open.pop() {
        if path.is_dir() {
            let entries = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path());
            open.extend(entries.filter(|entry| !entry.ends_with("target") && !entry.ends_with(".git")));
        } else if path.is_file() && path.extension().is_some_and(|end| end == "rs") {
            let name = path.strip_prefix(&root).unwrap().display().to_string();
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// The code of a file line by line: without comments, texts and characters, and without its tests, which may do more.
fn code(text: &str) -> Vec<String> {
    let mut lexer = Lexer::default();
    let (mut lines, mut in_tests) = (Vec::new(), false);
    for line in text.lines() {
        let code = lexer.line(line);
        in_tests |= code.starts_with("#[cfg(test)]");
        lines.push(if in_tests { String::new() } else { code.clone() });
        // The item that is only for tests ends: `mod tests;` or the brace of `mod tests {`.
        in_tests &= !(code.starts_with('}') || (!code.starts_with(char::is_whitespace) && code.ends_with(';')));
    }
    lines
}

/// Takes comments and texts out of lines.
#[derive(Default)]
struct Lexer {
    /// How deep we are in block comments.
    comment: usize,
    /// In a text: with which characters it ends, and whether backslashes count in it.
    text: Option<(String, bool)>,
}

impl Lexer {
    fn line(&mut self, line: &str) -> String {
        let (mut code, mut rest) = (String::new(), line);
        while let Some(first) = rest.chars().next() {
            let taken = match &self.text {
                Some((_, true)) if rest.starts_with('\\') => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
                Some((end, _)) if rest.starts_with(end.as_str()) => {
                    let taken = end.len();
                    self.text = None;
                    taken
                }
                Some(_) => first.len_utf8(),
                None if self.comment > 0 => self.in_comment(rest, first),
                None if rest.starts_with("//") => break,
                None if rest.starts_with("/*") => self.in_comment(rest, first),
                None => match self.opens(rest, &code) {
                    Some(taken) => taken,
                    None => {
                        code.push(first);
                        first.len_utf8()
                    }
                },
            };
            rest = &rest[taken..];
        }
        code
    }

    fn in_comment(&mut self, rest: &str, first: char) -> usize {
        match &rest.as_bytes()[..rest.len().min(2)] {
            b"/*" => self.comment += 1,
            b"*/" => self.comment -= 1,
            _ => return first.len_utf8(),
        }
        2
    }

    /// How many bytes open a text here, or are a whole character literal.
    fn opens(&mut self, rest: &str, before: &str) -> Option<usize> {
        let in_word = before.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        if rest.starts_with('"') {
            self.text = Some(("\"".into(), true));
            return Some(1);
        }
        if let Some(raw) = rest.strip_prefix('r').filter(|_| !in_word || before.ends_with('b')) {
            let signs = raw.chars().take_while(|c| *c == '#').count();
            if raw[signs..].starts_with('"') {
                self.text = Some((format!("\"{}", "#".repeat(signs)), false));
                return Some(2 + signs);
            }
        }
        let quoted = rest.strip_prefix('\'')?;
        if quoted.starts_with('\\') {
            return Some(3 + quoted[2..].find('\'')?);
        }
        let inside = quoted.chars().next()?;
        quoted[inside.len_utf8()..].starts_with('\'').then(|| 2 + inside.len_utf8())
    }
}

/// Whether code names something: as a whole word or path, not as a part of another.
fn names(code: &str, name: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + name.len()..]);
        let whole = !before.chars().next_back().is_some_and(is_word) && !after.chars().next().is_some_and(is_word);
        // `http` is a crate where a path or a line of imports begins with it, and a variable elsewhere.
        let is_path = name.contains("::") || name.starts_with(char::is_uppercase);
        let begins = after.starts_with("::") && !before.ends_with("::");
        let imports = matches!(before.trim_end(), "use" | "pub use" | "extern crate");
        whole && (is_path || begins || imports)
    })
}

/// The lines of `text` that name one of `forbidden`. Imports in braces are spelt out: `use std::{fs, io}`.
fn breaches(text: &str, forbidden: &[&str]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let lines = code(text);
    for (index, line) in lines.iter().enumerate() {
        let spelt = spell_out(&lines, index).unwrap_or_else(|| vec![line.clone()]);
        for name in forbidden {
            if spelt.iter().any(|code| names(code, name)) {
                found.push((index + 1, (*name).to_owned()));
            }
        }
    }
    found
}

/// The paths of an import that begins on this line, each as an import of its own.
fn spell_out(lines: &[String], index: usize) -> Option<Vec<String>> {
    let first = lines[index].trim_start();
    let import = first.strip_prefix("pub ").unwrap_or(first).strip_prefix("use ")?;
    let mut whole = import.to_owned();
    for line in &lines[index + 1..] {
        if whole.contains(';') {
            break;
        }
        whole.push_str(line.trim());
    }
    let mut paths = Vec::new();
    spell("", whole.split(';').next()?.trim(), &mut paths);
    Some(paths)
}

/// Puts `use PREFIX::PATH` for each path of a tree of imports.
fn spell(prefix: &str, tree: &str, paths: &mut Vec<String>) {
    let Some((stem, rest)) = tree.split_once('{') else {
        paths.push(format!("use {prefix}{tree}"));
        return;
    };
    let (mut depth, mut begin) = (0_usize, 0);
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let prefix = format!("{prefix}{}", stem.trim());
    for (at, sign) in inside.char_indices().chain([(inside.len(), ',')]) {
        match sign {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                let branch = inside[begin..at].trim();
                if !branch.is_empty() {
                    spell(&prefix, branch, paths);
                }
                begin = at + 1;
            }
            _ => {}
        }
    }
}

#[test]
fn no_layer_names_what_is_above_it() {
    let mut wrong = Vec::new();
    for layer in LAYERS {
        // A module may be a file beside its folder.
        let mut files = sources(layer.folder);
        files.extend(sources(&format!("{}.rs", layer.folder)));
        assert!(!files.is_empty(), "{} has no sources", layer.folder);
        for (file, text) in &files {
            if file.ends_with("/tests.rs") || file.contains("/tests/") {
                continue;
            }
            for (line, name) in breaches(text, layer.forbidden) {
                if !layer.doors.contains(&(file.as_str(), name.as_str())) {
                    wrong.push(format!("{file}:{line}: {} may not name {name}", layer.folder));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} breaches (models.md §3):\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_door_is_a_door() {
    for layer in LAYERS {
        for (file, name) in layer.doors {
            let text = fs::read_to_string(root().join(file)).unwrap();
            assert!(!breaches(&text, &[name]).is_empty(), "{file} does not name {name}: take the exception away");
        }
    }
}

#[test]
fn breaches_are_found_and_words_are_not_confused() {
    let found =
        |text: &str, name: &'static str| breaches(text, &[name]).into_iter().map(|(line, _)| line).collect::<Vec<_>>();
    assert_eq!(found("a\nuse tokio::time;\n", "tokio"), [2]);
    assert_eq!(found("use tokio;", "tokio"), [1]);
    assert_eq!(found("let x = tokio::spawn(f);", "tokio"), [1]);
    assert_eq!(found("use std::{fmt, fs};", "std::fs"), [1]);
    assert_eq!(found("use std::{\n    fmt,\n    io::{self, Read},\n};", "std::io"), [1]);
    assert_eq!(found("pub(crate) fn f() -> std::io::Result<()> {", "std::io"), [1]);
    assert_eq!(found("use std::time::{Duration, Instant};", "Instant"), [1]);
    assert_eq!(found("use crate::{store, api::error};", "crate::api"), [1]);
    for innocent in [
        "// tokio::spawn",
        "/* tokio::spawn\n tokio::x */ let tokio = 1;",
        "let text = \"tokio::spawn\";",
        "let text = r#\"a \" tokio::spawn\"#;",
        "let c = '\"'; let t = \"tokio::spawn\";",
        "let c = '\\''; let t = \"tokio::spawn\";",
        "fn f<'a>(x: &'a str) { g(\"tokio::spawn\") }",
        "use tokio_stream::wrappers;",
        "use crate::tokio::x;",
        "#[cfg(test)]\nmod tests {\n    use tokio::x;\n}",
    ] {
        assert_eq!(found(innocent, "tokio"), [] as [usize; 0], "{innocent}");
    }
    assert_eq!(found("#[cfg(test)]\nmod tests {\n    use tokio::x;\n}\nuse tokio::y;", "tokio"), [5]);
    assert_eq!(found("#[cfg(test)]\nmod tests;\n\nuse tokio::y;", "tokio"), [4]);
    assert_eq!(found("let http = request.http;", "http"), [] as [usize; 0]);
    assert_eq!(found("let a = \"x\"; http::Request::new(\"y\");", "http"), [1]);
}

/// Cargo's resolved graph: the direct dependencies of each package, by name, without those of builds and tests.
fn graph() -> BTreeMap<String, BTreeSet<String>> {
    // Only what is built here is downloaded: crates of other systems are left out.
    let said = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into())).arg("-vV").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let platform = said.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let done = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", platform])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(done.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&done.stderr));
    let metadata: Value = serde_json::from_slice(&done.stdout).unwrap();
    let names: BTreeMap<&str, &str> = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (package["id"].as_str().unwrap(), package["name"].as_str().unwrap()))
        .collect();
    let mut graph: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for node in metadata["resolve"]["nodes"].as_array().unwrap() {
        let below = node["deps"].as_array().unwrap().iter().filter_map(|dependency| {
            let kinds = dependency["dep_kinds"].as_array().unwrap();
            let normal = kinds.iter().any(|kind| kind["kind"].is_null());
            normal.then(|| names[dependency["pkg"].as_str().unwrap()].to_owned())
        });
        graph.entry(names[node["id"].as_str().unwrap()].to_owned()).or_default().extend(below);
    }
    graph
}

/// Everything below a package, with the way to it.
fn below(graph: &BTreeMap<String, BTreeSet<String>>, package: &str) -> BTreeMap<String, String> {
    let (mut found, mut open) = (BTreeMap::new(), vec![(package.to_owned(), package.to_owned())]);
    while let Some((name, way)) = open.pop() {
        for next in graph.get(&name).into_iter().flatten() {
            if !found.contains_key(next) {
                let way = format!("{way} > {next}");
                found.insert(next.clone(), way.clone());
                open.push((next.clone(), way));
            }
        }
    }
    found
}

#[test]
fn crates_depend_only_downwards() {
    let graph = graph();
    let mut wrong = Vec::new();
    for (package, allowed) in CRATES {
        assert!(graph.contains_key(*package), "there is no crate {package}");
        for (name, way) in below(&graph, package) {
            if name.starts_with("hostler-") && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{package} may not depend on {name}: {way}"));
            }
        }
    }
    for package in ["hostler-common", "hostler-core"] {
        for (name, way) in below(&graph, package) {
            if IMPURE_CRATES.iter().any(|impure| name == *impure || name.starts_with(&format!("{impure}-"))) {
                wrong.push(format!("{package} may not depend on {name}: {way}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} breaches (models.md §3):\n{}", wrong.len(), wrong.join("\n"));
    assert!(below(&graph, "hostler-manager").contains_key("tokio"), "the graph has no normal dependencies");
}

#[test]
fn files_are_short_and_finished() {
    let mut wrong = Vec::new();
    let unfinished = ["todo", "unimplemented"].map(|name| format!("{name}!"));
    let files = sources("");
    assert!(files.len() > 100, "only {} files were found", files.len());
    for (file, text) in &files {
        let lines = text.lines().count();
        let is_test = file.starts_with("tests/") || file.contains("/tests/") || file.ends_with("/tests.rs");
        if lines > LONGEST && !is_test {
            wrong.push(format!("{file}:{LONGEST}: has {lines} lines, {LONGEST} are allowed: split it"));
        }
        for (number, line) in code(text).iter().enumerate() {
            for word in unfinished.iter().filter(|word| line.contains(word.as_str())) {
                wrong.push(format!("{file}:{}: {word} is not finished", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
