//! Disks for tests that format: zram, which a kernel makes of memory. To programs they are disks like any other, not
//! rotating and empty, and `ceph-volume` takes them without being told to. They cost the memory of what is written to them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::means::{self, Need};
use crate::ward::{Taken, Ward};

const CONTROL: &str = "/sys/class/zram-control/hot_add";

/// A disk. Dropping it removes it; nobody may have it open by then.
#[derive(Debug)]
pub struct Zram {
    number: u32,
    _ward: Ward,
}

impl Zram {
    /// A new, empty disk of that many GiB (5 is the least that `ceph-volume` takes); `None` if the kernel has none.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn new(gibibytes: u32) -> anyhow::Result<Option<Self>> {
        if !means::has("a disk in memory", &[Need::Root, Need::Zram]) {
            return Ok(None);
        }
        let ward = Ward::new("hostler-disk-")?;
        let number = fs::read_to_string(CONTROL)?.trim().parse().context("the number of a new disk")?;
        ward.note(Taken::Zram(number))?;
        fs::write(format!("/sys/block/zram{number}/disksize"), format!("{gibibytes}G"))?;
        Ok(Some(Self { number, _ward: ward }))
    }

    /// The device.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        Path::new("/dev").join(format!("zram{}", self.number))
    }
}
