//! `ramdisk_error`: a probe that reports an error fails the run.

use super::Facts;
use crate::introspection::document::{Failure, python};

pub(super) fn pre(facts: &mut Facts<'_>) -> Result<(), Failure> {
    match facts.data.get("error").filter(|error| python::truthy(error)) {
        Some(error) => Err(Failure::new(format!("Ramdisk reported error: {}", python::str(error)))),
        None => Ok(()),
    }
}
