//! What can happen to a host.

use super::Host;

impl Host<'_> {
    /// Pulls its network cable: what is sent in either direction is lost without a word.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn cut(&self) -> anyhow::Result<()> {
        self.lab.port(&self.name, "down")
    }

    /// Plugs it in again.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn restore(&self) -> anyhow::Result<()> {
        self.lab.port(&self.name, "up")
    }

    /// Stops its time: connections stand, nothing answers. It must be thawed before it is entered, rebooted or switched off.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn freeze(&self) -> anyhow::Result<()> {
        self.groups.freeze(true)
    }

    /// Undoes [`Host::freeze`].
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn thaw(&self) -> anyhow::Result<()> {
        self.groups.freeze(false)
    }
}
