//! The suite has a call of every public function of the store.

use std::fs;
use std::path::Path;

/// Texts of all files in a folder, with their names.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(folder).unwrap();
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect();
    files.sort();
    files.iter().map(|path| (path.display().to_string(), fs::read_to_string(path).unwrap())).collect()
}

#[test]
fn every_public_function_of_the_store_is_called_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let suite: String = sources(&root.join("tests/store")).into_iter().map(|(_, text)| text).collect();
    let (mut known, mut missing) = (0, Vec::new());
    let store = root.join("../manager/src/store");
    // Users, projects and tokens have a suite of their own.
    let own = sources(&store).into_iter().filter(|(file, _)| !file.ends_with("identity.rs"));
    let folders = ["maintenance", "target", "task"].into_iter().flat_map(|folder| sources(&store.join(folder)));
    for (file, text) in own.chain(folders) {
        for (number, line) in text.lines().enumerate() {
            let Some(rest) = line.strip_prefix("pub async fn ") else { continue };
            let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            known += 1;
            if !suite.contains(&format!("{name}(")) && !suite.contains(&format!("{name}::<")) {
                missing.push(format!("{file}:{}: {name} has no test in tests/tests/store", number + 1));
            }
        }
    }
    assert!(known > 50, "only {known} functions were found: is the store still there?");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
