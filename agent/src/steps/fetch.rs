//! Puts a file that the agent fetched in its place (spec/maintenance.md §5.5): checked once more, and there in one moment.
//!
//! Must never: write outside of the folders that the host allows, wherever links lead.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use hostler_common::script::Digest;
use hostler_common::step::StepResult;
use hostler_common::step::maintenance::Fetch;
use serde_json::{Value, json};

use super::{Context, Failure};
use crate::downloads::{self, digest_of};
use crate::files::sync_folder;

/// Does it.
///
/// # Errors
/// The place is not allowed; the file was not fetched, or is not what it should be; it cannot be written.
pub fn run(step: &Fetch, context: &Context) -> Result<StepResult, Failure> {
    let digest = downloads::check(step).map_err(Failure::Refused)?;
    let target = target(&step.path, &context.paths)?;
    let before = state(&target);
    let wanted = json!({"path": step.path, "sha256": digest.to_string(), "size": step.size, "mode": step.mode});
    if before.as_ref().is_some_and(|state| state["sha256"] == wanted["sha256"] && state["mode"] == wanted["mode"]) {
        let detail = format!("{} was there already", step.path);
        return Ok(StepResult { changed: false, before: json!(before), after: wanted, detail });
    }
    let source = downloads::place(&context.state_dir).join(digest.to_string());
    put(&source, &target, digest, step)?;
    let detail = format!("{} has {} bytes", step.path, step.size);
    Ok(StepResult { changed: true, before: json!(before), after: wanted, detail })
}

/// Where the file really goes: its folder is made, and no link leads out of the allowed one.
fn target(path: &str, allowed: &[PathBuf]) -> Result<PathBuf, Failure> {
    let outside = || Failure::Refused(format!("this host does not allow files at {path}"));
    let root = downloads::below(path, allowed).ok_or_else(outside)?;
    let file = Path::new(path);
    let (folder, name) = (file.parent().ok_or_else(outside)?, file.file_name().ok_or_else(outside)?);
    fs::create_dir_all(root).map_err(Failure::refused)?;
    let real_root = root.canonicalize().map_err(Failure::refused)?;
    // What is there of the folder must be inside before any of the rest is made.
    let there = folder.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(root);
    if !there.canonicalize().map_err(Failure::refused)?.starts_with(&real_root) {
        return Err(outside());
    }
    fs::create_dir_all(folder).map_err(Failure::refused)?;
    let folder = folder.canonicalize().map_err(Failure::refused)?;
    if !folder.starts_with(&real_root) {
        return Err(outside());
    }
    let target = folder.join(name);
    if target.symlink_metadata().is_ok_and(|data| data.is_dir()) {
        return Err(Failure::Refused(format!("{path} is a folder")));
    }
    Ok(target)
}

/// What is in that place; `None` for nothing that could be replaced by itself.
fn state(target: &Path) -> Option<Value> {
    let data = target.symlink_metadata().ok().filter(fs::Metadata::is_file)?;
    let digest = digest_of(target).ok()?;
    Some(json!({"sha256": digest.to_string(), "size": data.len(), "mode": data.permissions().mode() & 0o7777}))
}

/// Copies into the folder of the target, checks what was copied, and renames.
fn put(source: &Path, target: &Path, digest: Digest, step: &Fetch) -> Result<(), Failure> {
    let folder = target.parent().unwrap_or(Path::new("/"));
    let fresh = folder.join(format!(".{digest}.new"));
    fs::remove_file(&fresh)
        .or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
        .map_err(Failure::refused)?;
    let copied = copy(source, &fresh, step.mode).and_then(|len| Ok((len, digest_of(&fresh)?)));
    let placed = match copied {
        Ok((len, found)) if found == digest && len == step.size => {
            fs::rename(&fresh, target).and_then(|()| sync_folder(folder)).map_err(Failure::broken)
        }
        Ok(_) => Err(Failure::Refused(format!("what was fetched is not the file {digest} of {} bytes", step.size))),
        Err(error) => Err(Failure::Refused(format!("the file cannot be copied: {error}"))),
    };
    if placed.is_err() {
        fs::remove_file(&fresh).ok();
    }
    placed
}

fn copy(source: &Path, fresh: &Path, mode: u32) -> io::Result<u64> {
    let mut from = File::open(source)?;
    let mut to = File::options().write(true).create_new(true).mode(0o600).open(fresh)?;
    let len = io::copy(&mut from, &mut to)?;
    // Not by the way it is made: that is narrowed by the mask of this process.
    to.set_permissions(fs::Permissions::from_mode(mode))?;
    to.sync_all()?;
    Ok(len)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use sha2::{Digest as _, Sha256};

    use super::*;
    use crate::ceph::Access;

    struct Host {
        dir: tempfile::TempDir,
        context: Context,
    }

    fn host() -> Host {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("state");
        fs::create_dir_all(downloads::place(&state_dir)).unwrap();
        let paths = vec![dir.path().join("files")];
        let context =
            Context { ceph: Access::default(), runtime_dir: dir.path().join("run"), state_dir, paths, job: None };
        Host { dir, context }
    }

    fn step(host: &Host, name: &str, content: &[u8]) -> Fetch {
        let digest = Digest(Sha256::digest(content).into()).to_string();
        fs::write(downloads::place(&host.context.state_dir).join(&digest), content).unwrap();
        let path = host.dir.path().join("files").join(name).display().to_string();
        Fetch { sha256: digest, size: content.len() as u64, path, mode: 0o640 }
    }

    #[test]
    fn a_file_is_put_in_its_place_once() {
        let host = host();
        let first = step(&host, "a/b.conf", b"first");
        let result = run(&first, &host.context).unwrap();
        assert!(result.changed && result.before.is_null(), "{result:?}");
        assert_eq!(fs::read(&first.path).unwrap(), b"first");
        assert_eq!(fs::metadata(&first.path).unwrap().permissions().mode() & 0o7777, 0o640);
        assert!(!run(&first, &host.context).unwrap().changed);
        assert!(run(&Fetch { mode: 0o600, ..first.clone() }, &host.context).unwrap().changed);
        let second = step(&host, "a/b.conf", b"second");
        assert_eq!(run(&second, &host.context).unwrap().before["sha256"], first.sha256);
        assert_eq!(fs::read_dir(host.dir.path().join("files/a")).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_is_not_what_was_ordered_stays_away() {
        let host = host();
        let order = step(&host, "x", b"right");
        fs::write(downloads::place(&host.context.state_dir).join(&order.sha256), b"wrong").unwrap();
        assert!(matches!(run(&order, &host.context), Err(Failure::Refused(_))));
        fs::remove_file(downloads::place(&host.context.state_dir).join(&order.sha256)).unwrap();
        assert!(matches!(run(&order, &host.context), Err(Failure::Refused(_))));
        assert_eq!(fs::read_dir(host.dir.path().join("files")).unwrap().count(), 0);
    }

    #[test]
    fn links_lead_nowhere() {
        let host = host();
        let outside = host.dir.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(host.dir.path().join("files")).unwrap();
        symlink(&outside, host.dir.path().join("files/link")).unwrap();
        for name in ["link/a", "link/deep/a"] {
            assert!(matches!(run(&step(&host, name, b"x"), &host.context), Err(Failure::Refused(_))), "{name}");
        }
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        // A link in the very place is replaced, not followed.
        fs::write(outside.join("kept"), "kept").unwrap();
        symlink(outside.join("kept"), host.dir.path().join("files/here")).unwrap();
        assert!(run(&step(&host, "here", b"new"), &host.context).unwrap().changed);
        assert_eq!(fs::read_to_string(outside.join("kept")).unwrap(), "kept");
        let folder = step(&host, "link", b"x");
        fs::remove_file(&folder.path).unwrap();
        fs::create_dir(&folder.path).unwrap();
        assert!(matches!(run(&folder, &host.context), Err(Failure::Refused(_))));
    }
}
