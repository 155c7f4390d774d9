//! `hostler script edit`: a script in the editor of whoever asks. The draft is kept where the manager does not take it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use reqwest::Method;
use serde_json::{Map, json};

use super::library::{self, Script};
use crate::context::Context;
use crate::failure::{Failure, Kind};

/// The editor where nobody said which.
const EDITOR: &str = "vi";

/// Runs the command.
///
/// # Errors
/// There is no such script, the editor fails, or the manager refuses.
pub async fn run(context: &Context, name: &str, file: Option<&Path>, rename: Option<String>) -> Result<(), Failure> {
    let client = context.client().await?;
    let script = library::existing(&client, name).await?;
    let doing = format!("change script {}", script.name);
    let mut body = Map::new();
    let mut draft = None;
    if let Some(file) = file {
        body.insert("contents".into(), library::read(&doing, file)?.into());
    } else if rename.is_none() {
        let before = library::contents(&client, &script, None).await?;
        let edited = Draft::edit(&doing, &script, &before)?;
        let after = library::read(&doing, &edited.path)?;
        if after == before {
            context.output.note("Nothing was changed.");
            edited.discard();
            return Ok(());
        }
        body.insert("contents".into(), after.into());
        draft = Some(edited);
    }
    if let Some(name) = rename {
        body.insert("name".into(), json!(name));
    }
    let path = ["api", "events", "hook-scripts", &script.id.to_string()];
    let done = client.call(Method::PATCH, doing, &path).body(body.into()).done().await;
    match (done, draft) {
        (Ok(()), draft) => draft.map_or((), Draft::discard),
        (Err(failure), Some(draft)) => {
            let file = draft.path.display();
            return Err(failure
                .hint(format!("the draft is kept: `hostler script edit {} --file {file}` tries again", script.name)));
        }
        (Err(failure), None) => return Err(failure),
    }
    super::told(context, &client, script.id, "changed").await
}

/// A file that is being edited, readable by its owner alone.
struct Draft {
    path: PathBuf,
}

impl Draft {
    /// Writes the script to a file and has it edited.
    fn edit(doing: &str, script: &Script, contents: &str) -> Result<Self, Failure> {
        let failed = |why: String| Failure::new(Kind::Failed, format!("cannot {doing}"), why);
        let draft = Self::write(script, contents).map_err(|error| failed(error.to_string()))?;
        let editor = editor(|name| std::env::var(name).ok());
        // As everywhere, the variable may hold options.
        let mut words = editor.split_whitespace();
        let ran = Command::new(words.next().unwrap_or(EDITOR)).args(words).arg(&draft.path).status();
        match ran {
            Ok(status) if status.success() => Ok(draft),
            Ok(status) => {
                draft.discard();
                Err(failed(format!("{editor} ended with {status}; nothing was changed")))
            }
            Err(error) => {
                draft.discard();
                Err(failed(format!("{editor}: {error}")).hint("set VISUAL or EDITOR, or give the contents with --file"))
            }
        }
    }

    fn write(script: &Script, contents: &str) -> std::io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let plain: String = script.name.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).collect();
        let path = std::env::temp_dir().join(format!("hostler-{}-{plain}", hex::encode(random)));
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(contents.as_bytes())?;
        Ok(Self { path })
    }

    /// Removes the file. Where that fails, it is a stray file in a folder for such.
    fn discard(self) {
        drop(std::fs::remove_file(&self.path));
    }
}

/// The editor that the environment names.
fn editor(variable: impl Fn(&str) -> Option<String>) -> String {
    let named = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    named("VISUAL").or_else(|| named("EDITOR")).unwrap_or_else(|| EDITOR.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_the_editor() {
        let with = |visual: &'static str, edit: &'static str| {
            editor(move |name| Some(if name == "VISUAL" { visual } else { edit }.to_owned()))
        };
        assert_eq!(with("code --wait", "nano"), "code --wait");
        assert_eq!(with(" ", "nano"), "nano");
        assert_eq!(editor(|_| None), "vi");
    }
}
