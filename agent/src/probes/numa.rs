//! NUMA nodes, in our form and in that of the upstream agent (spec/introspection.md §4.3).

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Context;
use super::cpu::parse_list;
use super::facts::{Facts, Found};
use super::memory::kilobytes;

const NODES: &str = "/sys/devices/system/node";

/// Collects the section.
pub(super) fn probe(context: &Context) -> Found {
    let host = &context.host;
    let nodes: Vec<(u32, String)> = host
        .list(NODES)
        .into_iter()
        .filter_map(|name| Some((name.strip_prefix("node")?.parse().ok()?, format!("{NODES}/{name}"))))
        .collect();
    if nodes.is_empty() {
        return Facts::unavailable("the kernel exports no NUMA nodes");
    }
    let mut facts = Facts::new();
    let (mut own, mut ram, mut cpus) = (Vec::new(), Vec::new(), Vec::new());
    for (node, path) in &nodes {
        let meminfo = host.word(&format!("{path}/meminfo")).unwrap_or_default();
        let size_kb = kilobytes(&meminfo, "MemTotal");
        let cpulist = host.word(&format!("{path}/cpulist"));
        let distances: Vec<u32> = host
            .word(&format!("{path}/distance"))
            .unwrap_or_default()
            .split_whitespace()
            .filter_map(|d| d.parse().ok())
            .collect();
        own.push(json!({"node": node, "size_kb": size_kb, "cpulist": cpulist, "distances": distances}));
        ram.extend(size_kb.map(|kb| json!({"numa_node": node, "size_kb": kb})));
        let mut cores: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for cpu in parse_list(cpulist.as_deref().unwrap_or_default()) {
            let core = host.number::<u32>(&format!("/sys/devices/system/cpu/cpu{cpu}/topology/core_id"));
            cores.entry(core.unwrap_or(cpu)).or_default().push(cpu);
        }
        let core = |(cpu, siblings)| json!({"cpu": cpu, "numa_node": node, "thread_siblings": siblings});
        cpus.extend(cores.into_iter().map(core));
    }
    let nics: Vec<Value> = host
        .list("/sys/class/net")
        .into_iter()
        .filter_map(|name| {
            let node = host.number::<i32>(&format!("/sys/class/net/{name}/device/numa_node"))?;
            Some(json!({"name": name, "numa_node": node}))
        })
        .collect();
    facts.set("nodes", own);
    facts.set("compatible", json!({"ram": ram, "cpus": cpus, "nics": nics}));
    facts.done()
}
