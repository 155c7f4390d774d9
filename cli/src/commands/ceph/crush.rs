//! `hostler ceph crush`: edits of the CRUSH map (spec/hooks.md §7.6).

use clap::{Args, Subcommand};
use hostler_common::step::{CrushChange, CrushEdit, Step};

use super::super::step::{self, StepArgs};
use crate::context::Context;
use crate::failure::Failure;

/// What to change.
#[derive(Subcommand, Debug)]
pub enum CrushCommand {
    /// Move an OSD or a bucket
    Move {
        /// What, such as osd.3 or a bucket
        item: String,
        /// Where to, such as root=default rack=a
        #[arg(required = true, value_name = "TYPE=NAME", value_parser = place)]
        location: Vec<String>,
        /// How.
        #[command(flatten)]
        how: CrushArgs,
    },
    /// Change the weight of an OSD
    Reweight {
        /// The OSD, such as osd.3
        item: String,
        /// The new weight, such as 1.5
        #[arg(value_parser = weight)]
        weight: String,
        /// How.
        #[command(flatten)]
        how: CrushArgs,
    },
    /// Add a bucket
    AddBucket {
        /// Its name
        name: String,
        /// Its type, such as rack
        #[arg(value_name = "TYPE")]
        kind: String,
        /// How.
        #[command(flatten)]
        how: CrushArgs,
    },
    /// Give OSDs a device class
    SetClass {
        /// The class, such as nvme
        class: String,
        /// The OSDs, such as osd.3 osd.4
        #[arg(required = true, value_name = "OSD")]
        osds: Vec<String>,
        /// How.
        #[command(flatten)]
        how: CrushArgs,
    },
}

/// How the map is changed.
#[derive(Args, Debug)]
pub struct CrushArgs {
    /// Host that does it: name, UUID or number
    #[arg(long, value_name = "HOST")]
    on: String,
    /// Refuse unless the map has this version
    #[arg(long, value_name = "VERSION")]
    if_version: Option<u64>,
    /// How.
    #[command(flatten)]
    step: StepArgs,
}

/// Runs the command.
///
/// # Errors
/// The manager refuses or is not reached, or the change failed.
pub async fn run(command: CrushCommand, context: &Context) -> Result<(), Failure> {
    let (edit, how) = match command {
        CrushCommand::Move { item, location, how } => (CrushEdit::Move { item, location }, how),
        CrushCommand::Reweight { item, weight, how } => (CrushEdit::Reweight { item, weight }, how),
        CrushCommand::AddBucket { name, kind, how } => (CrushEdit::AddBucket { name, kind }, how),
        CrushCommand::SetClass { class, osds, how } => (CrushEdit::SetDeviceClass { class, osds }, how),
    };
    let change = Step::Crush(CrushChange { version: how.if_version, edit });
    step::take(context, &how.on, &change, how.step).await
}

fn place(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some((kind, name)) if !kind.is_empty() && !name.is_empty() => Ok(text.to_owned()),
        _ => Err("expected TYPE=NAME, such as rack=a".into()),
    }
}

fn weight(text: &str) -> Result<String, String> {
    match text.parse::<f64>() {
        Ok(weight) if weight.is_finite() && weight >= 0.0 => Ok(text.to_owned()),
        _ => Err("expected a number such as 1.5".into()),
    }
}
