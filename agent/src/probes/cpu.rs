//! Processors: model, topology, flags, caches, mitigations, power policy.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Context;
use super::facts::{Facts, Found};
use super::host::HostRoot;

const CPU: &str = "/sys/devices/system/cpu";

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let mut facts = Facts::new();
    let cpuinfo = host.text("/proc/cpuinfo").unwrap_or_default();
    let blocks = blocks(&cpuinfo);
    let online = host.word(&format!("{CPU}/online")).map(|list| parse_list(&list)).unwrap_or_default();
    let count = if online.is_empty() { blocks.len() } else { online.len() };
    if count > 0 {
        facts.set("count", count);
    } else {
        facts.missing("count", "neither /sys/devices/system/cpu/online nor /proc/cpuinfo");
    }
    match host.live().identity() {
        Ok(identity) => facts.set("architecture", identity.machine),
        Err(_) => facts.set("architecture", host.word("/proc/sys/kernel/arch").unwrap_or_default()),
    }
    facts.set("model_name", model(&blocks));
    facts.set("flags", flags(&blocks));
    facts.set("frequency", frequency(host, &blocks));
    facts.set("max_mhz", host.number::<f64>(&format!("{CPU}/cpu0/cpufreq/cpuinfo_max_freq")).map(|khz| khz / 1000.0));
    topology(host, &online, &mut facts);
    facts.set("caches", caches(host));
    let microcode = host.word(&format!("{CPU}/cpu0/microcode/version"));
    facts.set("microcode", microcode.or_else(|| field(&blocks, "microcode").map(str::to_owned)));
    facts.set("vulnerabilities", folder(host, &format!("{CPU}/vulnerabilities")));
    let cmdline = host.word("/proc/cmdline").unwrap_or_default();
    facts.set("mitigations", cmdline.split_whitespace().find_map(|word| word.strip_prefix("mitigations=")));
    facts.set("smt_active", host.flag(&format!("{CPU}/smt/active")));
    facts.set("smt_control", host.word(&format!("{CPU}/smt/control")));
    facts.set("isolated", host.word(&format!("{CPU}/isolated")));
    facts.set("offline", host.word(&format!("{CPU}/offline")));
    facts.set("governor", host.word(&format!("{CPU}/cpu0/cpufreq/scaling_governor")));
    facts.set("frequency_driver", host.word(&format!("{CPU}/cpu0/cpufreq/scaling_driver")));
    facts.set("idle_driver", host.word(&format!("{CPU}/cpuidle/current_driver")));
    facts.set("idle_states", idle_states(host));
    facts.set("numa_balancing", host.number::<u32>("/proc/sys/kernel/numa_balancing"));
    facts.done()
}

type Block<'a> = BTreeMap<&'a str, &'a str>;

/// The paragraphs of `/proc/cpuinfo` that describe a processor.
fn blocks(text: &str) -> Vec<Block<'_>> {
    text.split("\n\n")
        .map(|block| {
            block
                .lines()
                .filter_map(|line| line.split_once(':'))
                .map(|(k, v)| (k.trim(), v.trim()))
                .collect::<Block<'_>>()
        })
        .filter(|block| block.contains_key("processor"))
        .collect()
}

fn field<'a>(blocks: &[Block<'a>], key: &str) -> Option<&'a str> {
    blocks.iter().find_map(|block| block.get(key).copied())
}

/// The maker's name, or what the ARM identification register says, or nothing.
fn model(blocks: &[Block<'_>]) -> String {
    if let Some(name) = field(blocks, "model name").or_else(|| field(blocks, "cpu")) {
        return name.to_owned();
    }
    let number =
        |key: &str| field(blocks, key).and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok());
    match (number("CPU implementer"), number("CPU part")) {
        (Some(implementer), Some(part)) => arm_model(implementer, part),
        _ => String::new(),
    }
}

fn arm_model(implementer: u32, part: u32) -> String {
    let maker = match implementer {
        0x41 => "ARM",
        0x43 => "Cavium",
        0x46 => "Fujitsu",
        0x48 => "HiSilicon",
        0x4e => "NVIDIA",
        0x50 => "APM",
        0x51 => "Qualcomm",
        0x61 => "Apple",
        0xc0 => "Ampere",
        _ => return format!("implementer {implementer:#04x} part {part:#05x}"),
    };
    let core = match (implementer, part) {
        (0x41, 0xd03) => "Cortex-A53",
        (0x41, 0xd05) => "Cortex-A55",
        (0x41, 0xd07) => "Cortex-A57",
        (0x41, 0xd08) => "Cortex-A72",
        (0x41, 0xd09) => "Cortex-A73",
        (0x41, 0xd0a) => "Cortex-A75",
        (0x41, 0xd0b) => "Cortex-A76",
        (0x41, 0xd0c) => "Neoverse-N1",
        (0x41, 0xd40) => "Neoverse-V1",
        (0x41, 0xd49) => "Neoverse-N2",
        (0x41, 0xd4f) => "Neoverse-V2",
        (0x43, 0x0af) => "ThunderX2",
        (0x46, 0x001) => "A64FX",
        (0x48, 0xd01) => "Kunpeng-920",
        (0xc0, 0xac3) => "Ampere-1",
        (0xc0, 0xac4) => "Ampere-1a",
        _ => return format!("{maker} part {part:#05x}"),
    };
    format!("{maker} {core}")
}

/// Flags that every core has, sorted as the first core lists them.
fn flags(blocks: &[Block<'_>]) -> Vec<String> {
    let of = |block: &Block<'_>| {
        block.get("flags").or_else(|| block.get("Features")).copied().unwrap_or_default().to_owned()
    };
    let Some(first) = blocks.first().map(of) else { return Vec::new() };
    let mut common: Vec<String> = first.split_whitespace().map(str::to_owned).collect();
    for block in &blocks[1..] {
        let other = of(block);
        // Cores are nearly always alike; only hybrid parts need the comparison.
        if other != first && !other.is_empty() {
            let other: BTreeSet<&str> = other.split_whitespace().collect();
            common.retain(|flag| other.contains(flag.as_str()));
        }
    }
    common
}

fn frequency(host: &HostRoot, blocks: &[Block<'_>]) -> String {
    let highest = host.number::<f64>(&format!("{CPU}/cpu0/cpufreq/cpuinfo_max_freq")).map(|khz| khz / 1000.0);
    let current = || field(blocks, "cpu MHz").and_then(|text| text.parse::<f64>().ok());
    highest.or_else(current).map(|mhz| format!("{mhz:.4}")).unwrap_or_default()
}

fn topology(host: &HostRoot, online: &[u32], facts: &mut Facts) {
    let mut sockets = BTreeSet::new();
    let mut cores = BTreeSet::new();
    for cpu in online {
        let read = |file: &str| host.number::<i64>(&format!("{CPU}/cpu{cpu}/topology/{file}"));
        // Platforms without that table say -1: one package.
        let package = read("physical_package_id").map_or(0, |id| id.max(0));
        sockets.insert(package);
        if let Some(core) = read("core_id") {
            cores.insert((package, read("die_id").unwrap_or(0), read("cluster_id").unwrap_or(0), core));
        }
    }
    facts.set("socket_count", sockets.len().max(1));
    facts.set("core_count", (!cores.is_empty()).then_some(cores.len()));
    facts.set("threads_per_core", (!cores.is_empty()).then(|| online.len().div_ceil(cores.len())));
}

fn caches(host: &HostRoot) -> Vec<Value> {
    let folder = format!("{CPU}/cpu0/cache");
    host.list(&folder)
        .iter()
        .filter(|name| name.starts_with("index"))
        .map(|name| {
            let read = |file: &str| host.word(&format!("{folder}/{name}/{file}"));
            json!({"level": read("level").and_then(|t| t.parse::<u32>().ok()), "type": read("type"), "size": read("size"),
                   "shared_cpus": read("shared_cpu_list")})
        })
        .collect()
}

fn idle_states(host: &HostRoot) -> Vec<Value> {
    let folder = format!("{CPU}/cpu0/cpuidle");
    host.list(&folder)
        .iter()
        .filter(|name| name.starts_with("state"))
        .map(|name| {
            json!({"name": host.word(&format!("{folder}/{name}/name")),
                   "disabled": host.flag(&format!("{folder}/{name}/disable"))})
        })
        .collect()
}

/// All files of a folder, by name.
fn folder(host: &HostRoot, path: &str) -> Map<String, Value> {
    host.list(path)
        .into_iter()
        .filter_map(|name| host.word(&format!("{path}/{name}")).map(|text| (name, Value::String(text))))
        .collect()
}

/// A kernel list such as `0-3,8,10-11`. Nonsense in it is skipped, and a list never grows beyond 64 Ki entries.
pub(super) fn parse_list(text: &str) -> Vec<u32> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(from), Ok(to)) = (from.trim().parse::<u32>(), to.trim().parse::<u32>()) {
            all.extend((from..=to).take(1 << 16));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_cpus() {
        assert_eq!(parse_list("0-2,5,7-8"), [0, 1, 2, 5, 7, 8]);
        assert_eq!(parse_list(""), Vec::<u32>::new());
        assert_eq!(parse_list("x,1"), [1]);
    }

    #[test]
    fn flags_are_those_of_every_core() {
        let text = "processor: 0\nflags: a b c\n\nprocessor: 1\nflags: a c d\n";
        assert_eq!(flags(&blocks(text)), ["a", "c"]);
    }

    #[test]
    fn arm_cores_get_a_name() {
        let text = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(model(&blocks(text)), "ARM Neoverse-N1");
    }
}
