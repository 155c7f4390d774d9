//! What a process uses, as the kernel counts it: unlike the time that something takes, it hardly depends on what else the
//! machine does.

use std::time::Duration;

use anyhow::Context as _;

/// The kernel tells processor time in hundredths of a second, on every architecture, whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// The processor time that process `pid` used since it began, in user and kernel mode.
///
/// # Errors
/// There is no such process.
pub fn processor_time(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name, in parentheses, may have blanks in it. After it, fields 14 and 15 of the line are the 12th and the 13th.
    let fields = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace();
    let ticks: Vec<u32> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    anyhow::ensure!(ticks.len() == 2, "{path} cannot be understood");
    Ok(TICK * ticks.iter().sum())
}

/// Memory in KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All resident pages.
    pub resident: u64,
    /// Those that are not pages of files: what the process allocated.
    pub anonymous: u64,
}

impl Memory {
    /// That of process `pid` now.
    ///
    /// # Errors
    /// There is no such process, or it belongs to somebody else.
    pub fn of(pid: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{pid}/status");
        let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
                .with_context(|| format!("{path}: {name}"))
        };
        Ok(Self { resident: field("VmRSS:")?, anonymous: field("RssAnon:")? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_processor_time_grows_with_work() {
        let before = processor_time(std::process::id()).unwrap();
        let begun = std::time::Instant::now();
        while processor_time(std::process::id()).unwrap() < before + TICK * 2 {
            assert!(begun.elapsed() < Duration::from_secs(30));
        }
    }

    #[test]
    fn our_own_memory_can_be_read() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.resident > 1000 && memory.anonymous > 100 && memory.anonymous <= memory.resident);
        assert!(Memory::of(0).is_err());
    }
}
