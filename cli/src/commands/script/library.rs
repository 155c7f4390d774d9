//! Finding scripts by name, number or file, and reading their contents.

use std::io::Read;
use std::path::Path;

use hostler_common::script::SCRIPT_LIMIT;
use serde_json::{Value, json};

use crate::client::Client;
use crate::failure::{Failure, Kind};
use crate::output::human;

/// A script of the library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Its number.
    pub id: i64,
    /// Its name.
    pub name: String,
}

/// The script of that name or number, if there is one. A name of digits wins over a number.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn find(client: &Client, name: &str) -> Result<Option<Script>, Failure> {
    let path = ["api", "events", "hook-scripts"];
    let ways = [Some(("name", name.to_owned())), name.parse::<i64>().ok().map(|id| ("id", id.to_string()))];
    for (column, value) in ways.into_iter().flatten() {
        let condition = json!({ column: { "_eq": value } });
        let found = client.counted_pages(&format!("find script {name}"), &path, &condition, 1).await?;
        if let Some(script) = found.first() {
            let name = script["name"].as_str().unwrap_or_default().to_owned();
            return Ok(Some(Script { id: script["id"].as_i64().unwrap_or_default(), name }));
        }
    }
    Ok(None)
}

/// The same where it has to be there.
///
/// # Errors
/// There is none, or as [`find`].
pub async fn existing(client: &Client, name: &str) -> Result<Script, Failure> {
    find(client, name).await?.ok_or_else(|| {
        let what = format!("cannot find script {name}");
        Failure::new(Kind::NotFound, what, "the library has no script of this name or number")
            .hint("`hostler script list` shows all scripts, `hostler script add FILE` adds one")
    })
}

/// The contents of a revision, byte for byte.
///
/// # Errors
/// There is no such revision, or the manager refuses or is not reached.
pub async fn contents(client: &Client, script: &Script, revision: Option<u32>) -> Result<String, Failure> {
    let doing = format!("read script {}", script.name);
    let number = revision.map(|number| number.to_string());
    let call = client.get(doing.as_str(), &["api", "events", "scripts", &script.id.to_string()]);
    match call.query("revision", number.as_deref()).json().await {
        Ok(Value::String(contents)) => Ok(contents),
        Ok(_) => Err(Failure::new(Kind::Failed, format!("cannot {doing}"), "the answer is no text")),
        Err(failure) if failure.kind == Kind::NotFound => {
            Err(failure.hint(format!("`hostler script revisions {}` shows which there are", script.name)))
        }
        Err(failure) => Err(failure),
    }
}

/// Reads a script from a file, or from standard input for `-`.
///
/// # Errors
/// It cannot be read, is no text, or is larger than any script.
pub fn read(doing: &str, file: &Path) -> Result<String, Failure> {
    text(doing, file, SCRIPT_LIMIT)
}

/// Reads a text of at most so many bytes from a file, or from standard input for `-`.
///
/// # Errors
/// It cannot be read, is no text, or is larger.
pub fn text(doing: &str, file: &Path, max: usize) -> Result<String, Failure> {
    let wrong = |why: String| Failure::new(Kind::Usage, format!("cannot {doing}"), why);
    let shown = if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() };
    let mut bytes = Vec::new();
    let limit = max as u64 + 1;
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|error| wrong(format!("{shown}: {error}")))?;
    if bytes.len() > max {
        return Err(wrong(format!("{shown} is larger than {}", human::bytes(max as u64))));
    }
    String::from_utf8(bytes).map_err(|_| wrong(format!("{shown} is not UTF-8 text")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_text_within_limits() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        assert_eq!(read("x", &file).unwrap(), "#!/bin/sh\n");
        assert_eq!(text("x", &file, 9).unwrap_err().kind, Kind::Usage);
        std::fs::write(&file, b"a\xff").unwrap();
        assert!(read("x", &file).unwrap_err().why.ends_with("is not UTF-8 text"));
        assert!(read("x", &dir.path().join("none")).unwrap_err().message().contains("none"));
    }
}
