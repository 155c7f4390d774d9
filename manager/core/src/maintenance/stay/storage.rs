//! How the storage of a host is taken and changed (spec/maintenance.md §8.6). Each change is marked before it is ordered.

use std::collections::BTreeSet;

use hostler_common::step::Step;
use hostler_common::step::maintenance::{CephDrain, CephNoout, CephTurn, Daemons};
use serde_json::json;

use super::super::ceph::stop::Before;
use super::super::row::Write;
use super::doc::Mark;
use super::draft::Draft;
use super::look::LOOK_EVERY;

impl Draft<'_> {
    pub(super) fn daemons(&self) -> Daemons {
        self.next.storage.host.as_ref().map(|host| host.daemons.clone()).unwrap_or_default()
    }

    pub(super) fn bucket(&self) -> Option<String> {
        self.next.storage.host.as_ref().and_then(|host| host.bucket.clone())
    }

    pub(super) fn look_at_lock(&mut self) {
        let us = (self.next.session, self.next.host);
        let Some(fsid) = self.next.cluster().map(str::to_owned) else {
            return self.fail("ceph.unknown", "the host reaches no Ceph cluster that is known");
        };
        match &self.cx.facts.storage_lock {
            Some((locked, session, host)) if *locked == fsid && (*session, *host) != us => {
                let text = format!("the storage of cluster {fsid} is in the hands of session {session}");
                self.wait_for(LOOK_EVERY, "storage.locked", text);
            }
            _ => {
                if !self.next.marks.lock {
                    self.next.marks.lock = true;
                    self.write(Write::LockStorage { fsid: fsid.clone(), host: self.next.host });
                }
                self.done(json!({ "fsid": fsid }));
            }
        }
    }

    pub(super) fn drain(&mut self) {
        let osds = self.daemons().osds;
        if osds.is_empty() {
            return self.skip("the host has no OSDs");
        }
        if self.next.marks.drained == Mark::No {
            self.next.marks.drained = Mark::About;
            self.next.marks.unsettled = true;
        }
        self.order_ceph(Step::CephDrain(CephDrain { osds, out: true }));
    }

    pub(super) fn may_stop(&mut self) {
        if self.daemons().is_empty() {
            return self.skip("the host has no daemons of Ceph");
        }
        if self.next.marks.stopped.maybe() {
            return self.skip("they are stopped");
        }
        match self.next.open.as_ref().map(|open| open.part) {
            Some(0) => self.order_sample(),
            _ => self.order_ceph(Step::CephStopCheck(self.daemons())),
        }
    }

    pub(super) fn set_noout(&mut self) {
        let Some(bucket) = self.bucket() else { return self.skip("the host has no bucket in CRUSH") };
        if self.next.marks.noout == Mark::Yes {
            return self.skip("it is set");
        }
        let foreign = self.next.storage.host.as_ref().is_some_and(|host| host.flags.iter().any(|flag| flag == "noout"));
        if foreign && self.next.marks.noout == Mark::No {
            return self.skip("somebody else had set it before; it stays");
        }
        self.next.marks.noout = Mark::About;
        // Another attempt makes it no younger.
        let now = self.now();
        self.next.marks.noout_since.get_or_insert(now);
        self.order_ceph(Step::CephNoout(CephNoout { bucket, set: true }));
    }

    pub(super) fn unset_noout(&mut self) {
        let Some(bucket) = self.bucket() else {
            self.next.marks.no_flag();
            return self.skip("the host has no bucket in CRUSH");
        };
        self.order_ceph(Step::CephNoout(CephNoout { bucket, set: false }));
    }

    /// What must be known of the OSDs before they go down by our hand.
    pub(super) fn remember_osds(&mut self) {
        if !self.next.marks.shaken {
            let osds = self.daemons().osds;
            let known = self.next.storage.sample.as_ref().map(|sample| Before::of(sample, &osds));
            self.next.storage.before =
                known.unwrap_or(Before { stopping: osds.into_iter().collect::<BTreeSet<i64>>(), ..Before::default() });
        }
        self.next.marks.shaken = true;
        self.next.marks.unsettled = true;
    }

    pub(super) fn stop(&mut self) {
        match self.next.marks.stopped {
            Mark::Yes => return self.skip("they are stopped"),
            _ if self.daemons().is_empty() => return self.skip("the host has no daemons of Ceph"),
            Mark::No | Mark::About => {}
        }
        self.remember_osds();
        self.next.marks.stopped = Mark::About;
        self.turn(CephTurn::Stop);
    }

    pub(super) fn start_daemons(&mut self) {
        if self.next.marks.stopped == Mark::No && self.next.ending.is_none() {
            return self.skip("they were not stopped");
        }
        self.turn(CephTurn::Start);
    }

    /// OSDs did not come back: the host stays out of service and its flag stays set. The daemons are started once more when
    /// somebody lets the stay go on.
    pub(super) fn not_back(&mut self, said: &str) {
        if !self.daemons().is_empty() {
            self.next.marks.stopped = Mark::Yes;
        }
        self.fail("ceph.osd_not_back", format!("not all of the host's storage came back: {said}"));
    }
}
