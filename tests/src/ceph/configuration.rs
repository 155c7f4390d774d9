//! The files that a cluster is described by.

use std::net::Ipv4Addr;
use std::path::Path;

use super::client::Keyring;
use super::ports::RANGE;
use super::{Keep, Options};

/// What is the same for all clusters: nothing that a test is not about shall warn, and everything that waits shall wait
/// briefly. OSDs have ten seconds before they are taken for dead, because the machine may have much else to do.
pub(crate) const COMMON: &str = "
auth_allow_insecure_global_id_reclaim = false
mon_data_avail_warn = 2
mon_data_avail_crit = 1
mon_allow_pool_delete = true
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_warn_on_osd_down_out_interval_zero = false
osd_pool_default_pg_autoscale_mode = off
osd_pool_default_pg_num = 8
osd_pool_default_min_size = 1
mgr_initial_modules =
mgr_disabled_modules = alerts influx insights iostat localpool mirroring nfs osd_perf_query osd_support restful snap_schedule stats telegraf test_orchestrator zabbix dashboard prometheus
bluestore_block_size = 1073741824
memstore_device_bytes = 1073741824
bluestore_cache_autotune = false
bluestore_cache_size = 33554432
paxos_propose_interval = 0.05
mon_tick_interval = 1
mon_election_timeout = 1
mon_lease = 3
mon_client_hunt_interval = 0.5
mgr_stats_period = 1
mgr_tick_period = 1
mon_mgr_beacon_grace = 10
mds_beacon_interval = 1
mds_beacon_grace = 10
osd_heartbeat_interval = 1
osd_heartbeat_grace = 10
mon_osd_adjust_heartbeat_grace = false
mon_osd_min_down_reporters = 1
osd_recovery_sleep = 0
osd_recovery_sleep_hdd = 0
";

/// `ceph.conf` for daemons and clients.
pub(super) fn conf(dir: &Path, fsid: &str, options: &Options, address: Ipv4Addr, first_port: u16) -> String {
    let dir = dir.display();
    let mons: Vec<_> = mon_ports(options, first_port).map(|port| mon_address(address, port)).collect();
    let store = match options.keep {
        Keep::Memory => "memstore",
        Keep::File => "bluestore",
    };
    let (low, high) = (first_port + 10, first_port + RANGE - 1);
    let size = options.osds.clamp(1, 3);
    let mut text = format!(
        "[global]\nfsid = {fsid}\nmon_host = {}\npublic_addr = {address}\nms_bind_port_min = {low}\nms_bind_port_max = {high}\n\
         keyring = {dir}/keyring\nrun_dir = {dir}/run\nadmin_socket = {dir}/run/$name.asok\nlog_file = {dir}/log/$name.log\n\
         mon_data = {dir}/mon.$id\nmgr_data = {dir}/mgr.$id\nosd_data = {dir}/osd.$id\nmds_data = {dir}/mds.$id\ncrash_dir = {dir}/crash\n\
         osd_objectstore = {store}\nosd_pool_default_size = {size}\n{COMMON}{}\n",
        mons.join(","),
        options.settings,
    );
    // Clients come and go: they would fill the folder with their sockets.
    text.push_str("[client]\nadmin_socket =\nlog_file = /dev/null\n");
    text
}

/// The ports of the monitors' newer protocol; the older one is on the next.
pub(super) fn mon_ports(options: &Options, first: u16) -> impl Iterator<Item = u16> {
    (first..).step_by(2).take(options.mons as usize)
}

/// The address of a monitor as Ceph writes it.
pub(super) fn mon_address(address: Ipv4Addr, port: u16) -> String {
    format!("[v2:{address}:{port},v1:{address}:{}]", port + 1)
}

/// The keys of everybody.
pub(super) fn keyring(key: &str, options: &Options) -> String {
    let mut keyring = Keyring::new(key);
    keyring.add("client.bootstrap-osd", &[("mon", "allow profile bootstrap-osd")]);
    for name in names('x', options.mgrs) {
        keyring.add(&format!("mgr.{name}"), &[("mon", "allow profile mgr"), ("osd", "allow *"), ("mds", "allow *")]);
    }
    for number in 0..options.osds {
        let caps = [("mon", "allow profile osd"), ("mgr", "allow profile osd"), ("osd", "allow *")];
        keyring.add(&format!("osd.{number}"), &caps);
    }
    for name in names('a', options.mds) {
        let caps =
            [("mon", "allow profile mds"), ("mgr", "allow profile mds"), ("osd", "allow rwx"), ("mds", "allow *")];
        keyring.add(&format!("mds.{name}"), &caps);
    }
    keyring.text()
}

/// `count` names of one letter, from `first` on.
pub(super) fn names(first: char, count: u32) -> impl Iterator<Item = char> {
    (first..='z').take(count as usize)
}
