//! What a heartbeat says of the host.

use hostler_proto::v1::Heartbeat;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// The host's load and free memory now.
#[must_use]
pub fn heartbeat() -> Heartbeat {
    // What cannot be read is zero: a heartbeat says first of all that the agent is there.
    let load = System::load_average().map_or(0.0, |load| load.one);
    let system =
        System::new_with_specifics(RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram()));
    let memory = system.map_or(0, |system| system.available_memory());
    // Loads are small positive numbers; a cast saturates.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let load_milli = (load * 1000.0) as u32;
    Heartbeat { load_milli, memory_available_kib: memory / 1024 }
}
