//! What the end of a job means for the entry that ordered it.

use hostler_common::job::{Captured, Outcome};
use hostler_common::step::StepResult;
use hostler_common::step::maintenance::CephHost;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::ceph::admit::{Refused, admit};
use super::super::row::StepState;
use super::agenda::Task;
use super::doc::Mark;
use super::draft::Draft;
use super::job::{Miss, REFUSED};
use crate::operation::result_of;

/// The most bytes of a program's output that a reason quotes.
const QUOTED: usize = 2000;
/// The most bytes of a program's output that history keeps of one step.
const KEPT: usize = 64 << 10;

impl Task {
    /// Whether it asks again and again until something holds: that one question failed means nothing then.
    pub(super) fn watches(&self) -> bool {
        matches!(self, Self::Health(_) | Self::Settle | Self::Back | Self::MayStop | Self::Gate(_))
    }
}

/// What a step found, as one of our types; `None` if it is something else.
pub(super) fn found<T: DeserializeOwned>(result: &StepResult) -> Option<T> {
    result.after.is_object().then(|| serde_json::from_value(result.after.clone()).ok()).flatten()
}

/// The end of a text, within so many bytes.
fn tail(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// What is kept of an output, as text.
fn text_of(captured: &Captured) -> String {
    let bytes: Vec<u8> = captured.head.iter().chain(&captured.tail).copied().collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// All that a program said.
pub(super) fn output(outcome: &Outcome) -> String {
    match &outcome.merged {
        Some(merged) => text_of(&merged.bytes),
        None => {
            let (out, err) = (text_of(&outcome.stdout), text_of(&outcome.stderr));
            if out.is_empty() { err } else { out + &err }
        }
    }
}

/// What history keeps of an outcome.
pub(super) fn kept(outcome: &Outcome) -> Value {
    json!({ "exit_code": outcome.exit_code, "signal": outcome.signal, "output": tail(&output(outcome), KEPT) })
}

impl Draft<'_> {
    /// The job of the open entry ended as it should.
    pub(super) fn job_succeeded(&mut self, outcome: &Outcome) {
        if let Some(open) = &mut self.next.open {
            open.job = None;
        }
        let Some(entry) = self.next.entry() else { return self.dropped() };
        let result = result_of(&outcome.stdout.head.iter().chain(&outcome.stdout.tail).copied().collect::<Vec<u8>>());
        match &entry.task {
            Task::Script(_) | Task::Plugin => return self.plugin_ended(&entry, outcome),
            Task::Gate(_) => return self.done(kept(outcome)),
            Task::Look => return self.looked(found(&result)),
            Task::Health(_) | Task::Settle | Task::Back => return self.sampled(&entry.task, found(&result)),
            Task::MayStop => return self.asked_to_stop(&result),
            Task::Drain => return self.drained(found(&result)),
            Task::Reboot { .. } => return self.boot_reported(&result),
            Task::Noout if !result.changed && self.first_try() => {
                // It was not there when the host was looked at, and is there now: somebody else was faster, and it is theirs.
                self.next.marks.no_flag();
                if let Some(host) = &mut self.next.storage.host {
                    host.flags.push("noout".into());
                }
                return self.skip("somebody else had set it before; it stays");
            }
            Task::Noout => self.next.marks.noout = Mark::Yes,
            Task::NooutOff => self.next.marks.no_flag(),
            Task::Stop => {
                self.next.marks.stopped = Mark::Yes;
                self.next.storage.before.watched_s = result.after["watched_s"].as_u64().unwrap_or(0);
            }
            Task::Start => self.next.marks.stopped = Mark::No,
            Task::DrainBack => self.next.marks.drained = Mark::No,
            Task::Precheck | Task::Verify => self.note_boot(&result),
            Task::Step(_) => self.note_wish(&entry, &result),
            _ => {}
        }
        self.done(json!({ "changed": result.changed, "detail": result.detail, "after": result.after }));
    }

    fn first_try(&self) -> bool {
        self.next.tries.as_ref().is_none_or(|(_, tries)| *tries <= 1)
    }

    fn looked(&mut self, host: Option<CephHost>) {
        let Some(host) = host else {
            return self.fail("ceph.unreadable", "the host's agent does not say which daemons of Ceph it has");
        };
        let Some(policy) = self.order().map(|order| order.policy.storage.clone()) else { return };
        if !host.daemons.is_empty() || host.bucket.is_some() {
            match admit(&host, &policy) {
                Ok(()) => {}
                Err(Refused::Later(code, text)) => return self.wait_for(60, code, text),
                Err(Refused::No(code, text)) => return self.fail(code, text),
            }
        }
        let told =
            json!({ "daemons": host.daemons, "bucket": host.bucket, "flags": host.flags, "domain": host.domain });
        self.next.storage.host = Some(host);
        self.done(told);
    }

    /// The job of the open entry did not end as it should.
    pub(super) fn job_missed(&mut self, miss: Miss) {
        if let Some(open) = &mut self.next.open {
            open.job = None;
        }
        let Some(entry) = self.next.entry() else { return self.dropped() };
        let (code, text, result, began) = match miss {
            Miss::Failed(code, why, outcome) => {
                let said = output(&outcome);
                // A step says itself what was not as it should be; of all others the end of the output says most.
                let detail = serde_json::from_str::<StepResult>(&text_of(&outcome.stdout)).map(|result| result.detail);
                let text = match detail.ok().filter(|detail| !detail.is_empty()) {
                    // The reason quotes all of the result.
                    Some(detail) => tail(&detail, QUOTED).to_owned(),
                    None => {
                        let said = tail(said.trim_end(), QUOTED);
                        if said.is_empty() || why.contains(said) { why } else { format!("{why}: {said}") }
                    }
                };
                (code, text, kept(&outcome), true)
            }
            Miss::Never(code, text) => (code, text, Value::Null, false),
        };
        match &entry.task {
            task if task.watches() => return self.asked_in_vain(&text),
            // What was never begun changed nothing. A stop that the agent gave up says so, too, after it started again what it had
            // stopped: it is looked whether all are up.
            Task::Noout if !began && self.first_try() => self.next.marks.no_flag(),
            Task::Stop if !began && self.first_try() => {
                self.next.marks.stopped = Mark::No;
                self.next.marks.shaken = code == REFUSED;
            }
            Task::Reboot { .. } if !began => {
                self.next.boots.ordered_in = None;
                self.undo_shake();
            }
            Task::Reboot { .. } => return self.reboot_lost(&text),
            _ => {}
        }
        let (code, text) = match &entry.task {
            Task::Vacant if began => (
                "host.occupied",
                format!("{text}; move them away, or leave them there with the rule compute_mode=ignore"),
            ),
            _ => (code, text),
        };
        let tries = self.next.tries.as_ref().map_or(1, |(_, tries)| *tries);
        if began && tries <= self.retries(&entry) {
            let reason = self.reason(code, text.clone());
            self.close(StepState::Failed, result, Some(reason));
            return self.again_in(15 * u64::from(tries), code, text);
        }
        self.fail_with(code, text, result);
    }

    /// How often an entry that failed is tried once more.
    fn retries(&self, entry: &super::agenda::Entry) -> u32 {
        match &entry.task {
            Task::Precheck | Task::Look | Task::Vacant | Task::Verify | Task::HandOver => 1,
            Task::Noout | Task::NooutOff | Task::Start | Task::DrainBack | Task::Drain => 2,
            Task::Step(_) | Task::Script(_) | Task::Plugin => self.plugin_retries(entry),
            _ => 0,
        }
    }

    /// Tries the open entry once more, after so many seconds.
    pub(super) fn retry_after(&mut self, seconds: u64, code: &str, text: String) {
        let reason = self.reason(code, text.clone());
        self.close(StepState::Unknown, Value::Null, Some(reason));
        self.again_in(seconds, code, text);
    }

    fn again_in(&mut self, seconds: u64, code: &str, text: String) {
        self.next.again_at = Some(self.after(seconds));
        self.next.waits = Some(self.reason(code, text));
    }
}
