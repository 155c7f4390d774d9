//! Takes a snapshot of a CephFS subvolume or directory (spec/hooks.md §7.10).
//!
//! A subvolume's is taken by the cluster. A directory's is a folder that is made in its `.snap`, for which the file system is
//! mounted for a moment by `ceph-fuse`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hostler_common::step::{CephFsSnapshot, StepResult};
use serde_json::{Value, json};

use super::{Context, Failure, asked, check_name, must, ordered};
use crate::ceph::parse;
use crate::watch::cephfs_mark;

/// How long mounting, and the snapshot itself, may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Does it.
///
/// # Errors
/// There is no such subvolume or directory, or already such a snapshot; the cluster refuses.
pub fn run(step: &CephFsSnapshot, context: &Context) -> Result<StepResult, Failure> {
    check_name("file system", &step.filesystem)?;
    check_name("snapshot", &step.snapshot)?;
    let mark = cephfs_mark(&step.filesystem, &step.group, &step.subvolume, &step.path, &step.snapshot);
    match (step.subvolume.as_str(), step.path.as_str()) {
        ("", "") => Err(Failure::Refused("neither a directory nor a subvolume is named".into())),
        ("", path) => {
            let inside = relative(path)?;
            let _mark = context.mark(&mark);
            of_directory(step, &inside, context)
        }
        (subvolume, "") => {
            check_name("subvolume", subvolume)?;
            let _mark = context.mark(&mark);
            of_subvolume(step, context)
        }
        _ => Err(Failure::Refused("both a directory and a subvolume are named".into())),
    }
}

fn of_subvolume(step: &CephFsSnapshot, context: &Context) -> Result<StepResult, Failure> {
    let mut client = context.client();
    let command = |what: &str| {
        let mut command = json!({"prefix": format!("fs subvolume {what}"), "vol_name": step.filesystem,
            "sub_name": step.subvolume});
        if !step.group.is_empty() {
            command["group_name"] = step.group.clone().into();
        }
        command
    };
    let mut list = command("snapshot ls");
    list["format"] = "json".into();
    let before = parse::names(&asked(client.ask(&list))?);
    if before.contains(&step.snapshot) {
        return Err(Failure::Refused(format!("{} has a snapshot {} already", step.subvolume, step.snapshot)));
    }
    let mut create = command("snapshot create");
    create["snap_name"] = step.snapshot.clone().into();
    ordered(client.send(&create, b""))?;
    let after = parse::names(&ordered(client.ask(&list))?);
    if !after.contains(&step.snapshot) {
        return Err(Failure::Broken("the snapshot was made and is not there".into()));
    }
    let path = client
        .send(&command("getpath"), b"")
        .map_or_else(|_| String::new(), |reply| String::from_utf8_lossy(&reply.output).trim().to_owned());
    Ok(done(step, json!({"snapshots": before}), &path))
}

fn done(step: &CephFsSnapshot, before: Value, path: &str) -> StepResult {
    let after = json!({"path": path, "snapshot": step.snapshot});
    StepResult { changed: true, before, after, detail: format!("{path} has the snapshot {}", step.snapshot) }
}

/// A path from the root of the file system, without a way out of it.
fn relative(path: &str) -> Result<PathBuf, Failure> {
    use std::path::Component;
    let mut inside = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) if name != ".snap" => inside.push(name),
            _ => return Err(Failure::Refused(format!("{path:?} is not a directory of the file system"))),
        }
    }
    Ok(inside)
}

/// A file system that is mounted for a moment.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let place = self.0.display().to_string();
        if must("umount", &["--", &place], LIMIT).is_err() {
            must("umount", &["--lazy", "--", &place], LIMIT).ok();
        }
        std::fs::remove_dir(&self.0).ok();
    }
}

fn of_directory(step: &CephFsSnapshot, inside: &Path, context: &Context) -> Result<StepResult, Failure> {
    let place = context.runtime_dir.join(format!("cephfs-{}", std::process::id()));
    crate::files::make_folder(&place).map_err(Failure::refused)?;
    let mut arguments = context.ceph.arguments();
    arguments.extend(["--client_fs".to_owned(), step.filesystem.clone(), place.display().to_string()]);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mounted = must("ceph-fuse", &words, LIMIT);
    let mounted = mounted.map(|_| Mounted(place.clone())).map_err(|failure| {
        std::fs::remove_dir(&place).ok();
        Failure::refused(failure)
    })?;
    let folder = mounted.0.join(inside).join(".snap");
    let snapshot = folder.join(&step.snapshot);
    // Names that begin with an underscore are of snapshots of folders above.
    let entries = std::fs::read_dir(&folder).map_err(|error| Failure::Refused(format!("{}: {error}", step.path)))?;
    let names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    if names.contains(&step.snapshot) {
        return Err(Failure::Refused(format!("{} has a snapshot {} already", step.path, step.snapshot)));
    }
    std::fs::create_dir(&snapshot).map_err(Failure::broken)?;
    let own: Vec<&String> = names.iter().filter(|name| !name.starts_with('_')).collect();
    Ok(done(step, json!({"snapshots": own}), &step.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        assert_eq!(relative("/a/./b"), Ok("a/b".into()));
        assert_eq!(relative("/"), Ok("".into()));
        for bad in ["/a/../b", "..", "/a/.snap/x"] {
            assert!(relative(bad).is_err(), "{bad}");
        }
    }
}
