//! The change file of hooks (spec/hooks.md §6): what is about to change, or has changed, as JSON in a file.
//!
//! Only the host that runs the script knows where the file is: its agent writes it, and names it there where scripts look for
//! it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The longest contents of a change file, in bytes. CRUSH maps of large clusters have some hundred KiB.
pub const CHANGE_MAX: usize = 2 << 20;

/// The variable with the path of the file.
const VARIABLE: &str = "HOOK_CHANGE_FILE";

/// The parameter with the path of the file, in the document on the standard input.
const PARAMETER: &str = "change-file";

/// A file that tells a script of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeFile {
    /// What it contains: JSON.
    pub contents: String,
    /// Which of the script's arguments is its path, counted from 0.
    pub argument: usize,
}

impl ChangeFile {
    /// Names the file, which is at `path`, in all three channels of a hook: its arguments, its environment, and the document
    /// on its standard input where it gets one.
    pub fn name(
        &self,
        path: &str,
        args: &mut [String],
        env: &mut BTreeMap<String, String>,
        stdin: &mut Option<String>,
    ) {
        if let Some(argument) = args.get_mut(self.argument) {
            path.clone_into(argument);
        }
        env.insert(VARIABLE.to_owned(), path.to_owned());
        let document = stdin.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok());
        if let Some(mut document) = document
            && let Some(parameter) = document.pointer_mut(&format!("/parameters/{PARAMETER}"))
        {
            *parameter = path.into();
            *stdin = Some(document.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_told_everywhere() {
        let file = ChangeFile { contents: "{}".into(), argument: 1 };
        let mut args = vec!["eth0".to_owned(), String::new()];
        let mut env = BTreeMap::from([(VARIABLE.to_owned(), String::new())]);
        let mut stdin = Some(r#"{"parameters":{"change-file":"","interfaces":"eth0"}}"#.to_owned());
        file.name("/x/change.json", &mut args, &mut env, &mut stdin);
        assert_eq!((args[1].as_str(), env[VARIABLE].as_str()), ("/x/change.json", "/x/change.json"));
        let document: Value = serde_json::from_str(&stdin.unwrap()).unwrap();
        assert_eq!(document["parameters"]["change-file"], "/x/change.json");

        // A script that gets no document, or something else, gets that as it was.
        for mut stdin in [None, Some("no JSON".to_owned()), Some("{}".to_owned())] {
            let before = stdin.clone();
            file.name("/x", &mut [], &mut env, &mut stdin);
            assert_eq!(stdin, before);
        }
    }
}
