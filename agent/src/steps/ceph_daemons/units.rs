//! Units of daemons, as far as they are needed here.

use hostler_common::step::UnitAction;

use crate::steps::Failure;
use crate::steps::systemd::Systemd;

/// Something that starts and stops daemons.
pub(super) trait Units {
    /// Whether it runs.
    fn active(&mut self, unit: &str) -> Result<bool, Failure>;
    /// Starts it.
    fn start(&mut self, unit: &str) -> Result<(), Failure>;
    /// Stops it.
    fn stop(&mut self, unit: &str) -> Result<(), Failure>;
}

impl Units for Systemd {
    fn active(&mut self, unit: &str) -> Result<bool, Failure> {
        Ok(!matches!(self.state(unit)?.active.as_str(), "inactive" | "failed"))
    }

    fn start(&mut self, unit: &str) -> Result<(), Failure> {
        self.change(unit, UnitAction::Start).map(drop)
    }

    fn stop(&mut self, unit: &str) -> Result<(), Failure> {
        self.change(unit, UnitAction::Stop).map(drop)
    }
}
