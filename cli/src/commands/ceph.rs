//! `hostler ceph`: changes of Ceph clusters and of the disks under them (spec/hooks.md §4.2, §7).

mod crush;
mod flag;

use clap::{Args, Subcommand};
use hostler_common::step::{CephDaemon, CephFsSnapshot, DiskPurpose, FormatDisk, OsdMode, RbdSnapshot, Step};

use super::step::{self, Action, StepArgs};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::prompt;

/// What to do to a cluster.
#[derive(Subcommand, Debug)]
pub enum CephCommand {
    /// Wipe a disk and prepare it, for an OSD or for data
    FormatDisk(FormatArgs),
    /// Start, stop or restart a Ceph daemon and wait until the cluster agrees
    Daemon {
        /// What
        #[arg(value_enum)]
        action: Action,
        /// Host on which it runs: name, UUID or number
        host: String,
        /// The daemon, such as osd.3 or mgr.a
        #[arg(value_parser = daemon)]
        daemon: (String, String),
        /// How.
        #[command(flatten)]
        step: StepArgs,
    },
    /// Change the CRUSH map
    #[command(subcommand)]
    Crush(crush::CrushCommand),
    /// Flags of the cluster, such as noout
    #[command(subcommand)]
    Flag(flag::FlagCommand),
    /// Take a snapshot of an RBD image
    RbdSnapshot {
        /// Which: POOL/IMAGE@SNAPSHOT or POOL/NAMESPACE/IMAGE@SNAPSHOT
        #[arg(value_parser = image, value_name = "POOL/IMAGE@SNAPSHOT")]
        image: RbdSnapshot,
        /// Host that does it: name, UUID or number
        #[arg(long, value_name = "HOST")]
        on: String,
        /// How.
        #[command(flatten)]
        step: StepArgs,
    },
    /// Take a snapshot of a directory or subvolume of a CephFS
    CephfsSnapshot(FsArgs),
}

/// Which disk, and what for.
#[derive(Args, Debug)]
pub struct FormatArgs {
    /// Host: name, UUID or number
    host: String,
    /// Path of the disk below /dev
    device: String,
    /// What for
    #[arg(long = "for", value_name = "PURPOSE", value_parser = ["osd", "db", "wal", "data"], default_value = "osd")]
    purpose: String,
    /// Refuse unless the disk has this serial number or WWN
    #[arg(long)]
    serial: Option<String>,
    /// Refuse unless the disk has so many bytes
    #[arg(long, value_name = "BYTES")]
    size: Option<u64>,
    /// How the OSD is made
    #[arg(long, value_parser = ["lvm", "raw"], default_value = "lvm")]
    mode: String,
    /// Device class of the OSD; without it, what Ceph finds
    #[arg(long, value_name = "CLASS")]
    device_class: Option<String>,
    /// For data: which file system
    #[arg(long, value_parser = ["ext4", "xfs"])]
    filesystem: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// How.
    #[command(flatten)]
    step: StepArgs,
}

/// Which directory or subvolume.
#[derive(Args, Debug)]
pub struct FsArgs {
    /// The file system
    filesystem: String,
    /// Name of the snapshot
    snapshot: String,
    /// The directory, from the root of the file system
    #[arg(long, required_unless_present = "subvolume", conflicts_with = "subvolume")]
    path: Option<String>,
    /// The subvolume
    #[arg(long)]
    subvolume: Option<String>,
    /// The group of the subvolume
    #[arg(long, requires = "subvolume")]
    group: Option<String>,
    /// Host that does it: name, UUID or number
    #[arg(long, value_name = "HOST")]
    on: String,
    /// How.
    #[command(flatten)]
    step: StepArgs,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or the change failed.
pub async fn run(command: CephCommand, context: &Context) -> Result<(), Failure> {
    match command {
        CephCommand::FormatDisk(args) => format_disk(context, args).await,
        CephCommand::Daemon { action, host, daemon: (kind, id), step } => {
            let change = Step::CephDaemon(CephDaemon { kind, id, action: action.into() });
            step::take(context, &host, &change, step).await
        }
        CephCommand::Crush(command) => crush::run(command, context).await,
        CephCommand::Flag(command) => flag::run(command, context).await,
        CephCommand::RbdSnapshot { image, on, step } => step::take(context, &on, &Step::RbdSnapshot(image), step).await,
        CephCommand::CephfsSnapshot(args) => {
            let snapshot = CephFsSnapshot {
                filesystem: args.filesystem,
                path: args.path.unwrap_or_default(),
                subvolume: args.subvolume.unwrap_or_default(),
                group: args.group.unwrap_or_default(),
                snapshot: args.snapshot,
            };
            step::take(context, &args.on, &Step::CephFsSnapshot(snapshot), args.step).await
        }
    }
}

async fn format_disk(context: &Context, args: FormatArgs) -> Result<(), Failure> {
    let doing = format!("format {} of {}", args.device, args.host);
    let purpose = match args.purpose.as_str() {
        "db" => DiskPurpose::Db,
        "wal" => DiskPurpose::Wal,
        "data" => DiskPurpose::Data,
        _ => DiskPurpose::Osd,
    };
    if args.filesystem.is_some() && purpose != DiskPurpose::Data {
        return Err(Failure::new(Kind::Usage, format!("cannot {doing}"), "only disks for data have a file system")
            .hint("say --for data, or leave --filesystem out"));
    }
    prompt::insist(args.yes, &doing, &format!("Destroy all data of {} on {}?", args.device, args.host)).await?;
    let change = Step::FormatDisk(FormatDisk {
        device: args.device,
        purpose,
        serial: args.serial,
        size: args.size,
        mode: if args.mode == "raw" { OsdMode::Raw } else { OsdMode::Lvm },
        device_class: args.device_class,
        filesystem: args.filesystem,
    });
    step::take(context, &args.host, &change, args.step).await
}

/// Reads `osd.3`.
fn daemon(text: &str) -> Result<(String, String), String> {
    match text.split_once('.') {
        Some((kind, id)) if !kind.is_empty() && !id.is_empty() => Ok((kind.into(), id.into())),
        _ => Err("expected a daemon such as osd.3".into()),
    }
}

/// Reads `POOL/IMAGE@SNAPSHOT`.
fn image(text: &str) -> Result<RbdSnapshot, String> {
    let wrong = || "expected POOL/IMAGE@SNAPSHOT or POOL/NAMESPACE/IMAGE@SNAPSHOT".to_owned();
    let (place, snapshot) = text.rsplit_once('@').ok_or_else(wrong)?;
    let parts: Vec<&str> = place.split('/').collect();
    let (pool, namespace, image) = match parts[..] {
        [pool, image] => (pool, "", image),
        [pool, namespace, image] if !namespace.is_empty() => (pool, namespace, image),
        _ => return Err(wrong()),
    };
    if [pool, image, snapshot].contains(&"") {
        return Err(wrong());
    }
    let text = str::to_owned;
    Ok(RbdSnapshot { pool: text(pool), namespace: text(namespace), image: text(image), snapshot: text(snapshot) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daemons_and_images() {
        assert_eq!(daemon("rgw.a.b"), Ok(("rgw".into(), "a.b".into())));
        assert!(daemon("osd").is_err() && daemon(".3").is_err() && daemon("osd.").is_err());
        let read = |text| image(text).map(|it| [it.pool, it.namespace, it.image, it.snapshot].join("|"));
        assert_eq!(read("p/i@s"), Ok("p||i|s".into()));
        assert_eq!(read("p/n/i@s"), Ok("p|n|i|s".into()));
        for bad in ["p/i", "i@s", "p/@s", "/i@s", "p/i@", "p//i@s", "a/b/c/d@s"] {
            assert!(image(bad).is_err(), "{bad}");
        }
    }
}
