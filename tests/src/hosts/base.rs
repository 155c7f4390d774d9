//! The trees that hosts boot from: a small Debian, and layers of more packages on it. Each is made once and kept in the
//! target folder, under a name that says what it was made of; it is never written to again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest as _, Sha256};

use crate::shell;

/// Makes the base. Arguments: where.
const MAKE_BASE: &str = include_str!("base/make.sh");

/// Makes a layer. Arguments: the folder for it, the lower layers, then the packages.
const MAKE_LAYER: &str = include_str!("base/layer.sh");

/// The tree that all hosts have.
pub(super) fn base() -> anyhow::Result<PathBuf> {
    kept("base", MAKE_BASE, &[])
}

/// What these Debian packages add to the base.
pub(super) fn layer(packages: &[String]) -> anyhow::Result<PathBuf> {
    let base = base()?;
    let mut arguments = vec![base.to_str().context("a path that is no text")?.to_owned()];
    arguments.extend(packages.iter().cloned());
    kept("layer", MAKE_LAYER, &arguments)
}

/// The tree that the script makes of the arguments, from the store or now.
fn kept(kind: &str, script: &str, arguments: &[String]) -> anyhow::Result<PathBuf> {
    let mut recipe = Sha256::new();
    recipe.update(script);
    arguments.iter().for_each(|argument| recipe.update(format!("\0{argument}")));
    let name = format!("{kind}-{}", &hex::encode(recipe.finalize())[..16]);
    let store = store()?;
    let tree = store.join(&name);
    if tree.join("tree").is_dir() {
        return Ok(tree.join("tree"));
    }
    // Test binaries run side by side, and tests in them: one makes it, the others wait.
    let lock = File::create(store.join(format!("{name}.lock")))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, errno)| errno)?;
    if tree.join("tree").is_dir() {
        return Ok(tree.join("tree"));
    }
    let began = std::time::Instant::now();
    let unfinished = store.join(format!("{name}.new"));
    fs::remove_dir_all(&unfinished).ok();
    fs::create_dir(&unfinished)?;
    // Mounts that it makes are its own and end with it.
    let mut make =
        shell::command(&["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-euc", script, kind]);
    shell::run(make.arg(unfinished.join("tree")).args(arguments)).with_context(|| format!("{kind} {arguments:?}"))?;
    fs::rename(&unfinished, &tree)?;
    crate::postgres::announce(&format!("made the tree {name} in {:.0?}", began.elapsed()));
    Ok(tree.join("tree"))
}

/// `labs` in the target folder: beside the folder of the profile that the test binary is in.
fn store() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let target = test.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file()).unwrap_or(Path::new("target"));
    let store = target.join("labs");
    fs::create_dir_all(&store)?;
    Ok(store)
}
