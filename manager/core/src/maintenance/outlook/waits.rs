//! What a session as a whole waits for.

use super::Wait;
use crate::maintenance::question::Answer;
use crate::maintenance::session::{Session, Stage};
use crate::maintenance::state::Phase;

/// What a session waits for: questions to projects, its start, its window, approvals, moves, plug-ins on the management node,
/// somebody who lets it go on. What its hosts do is told by [`super::of_stay`].
#[must_use]
pub fn of_session(session: &Session) -> Vec<Wait> {
    let mut waits = Vec::new();
    if let Some(wait) = whole(session) {
        waits.push(wait);
    }
    let open = session.questions.iter().filter(|question| question.answer == Answer::Waiting);
    for question in open {
        let about = question.instance.as_ref().map_or_else(String::new, |id| format!(" about instance {id}"));
        let text = format!("project {} to answer {}{about}", question.project, question.state.name());
        let mut wait = Wait::new("replies", text).within(Some(question.asked_at), Some(question.reply_at));
        (wait.host, wait.detail) =
            (question.host, format!("asked {} of {} times", question.attempt, attempts(session)));
        waits.push(wait);
    }
    for one in &session.moves {
        let text = format!("instance {} to move ({})", one.instance, one.action.name());
        let mut wait = Wait::new("move", text).within(None, Some(one.until));
        wait.host = Some(one.from);
        waits.push(wait);
    }
    for lane in &session.lanes {
        for (instance, own) in &lane.own {
            let text = format!("the owner of instance {instance} to take it away");
            let mut wait = Wait::new("own_action", text).within(None, Some(own.until));
            wait.host = Some(lane.host);
            waits.push(wait);
        }
    }
    waits
}

fn attempts(session: &Session) -> u32 {
    session.spec.policy.reply_attempts
}

/// The one thing for which everything waits, if there is one.
fn whole(session: &Session) -> Option<Wait> {
    let since = Some(session.since);
    let policy = &session.spec.policy;
    let wait = match session.phase {
        Phase::Paused => Wait::new("resume", "somebody to let it go on, as it is paused").of_people(),
        Phase::Pausing => Wait::new("pausing", "steps in flight to end: it pauses then"),
        Phase::WaitingStart => Wait::new("start", "its start").within(since, Some(session.spec.maintenance_at)),
        Phase::WaitingWindow => {
            let zone = policy.window.as_ref().and_then(|window| window.timezone.as_deref()).unwrap_or("UTC");
            let opens = policy.window.as_ref().map_or("?", |window| window.start.as_str());
            Wait::new("window", format!("its window to open, at {opens} {zone}"))
        }
        Phase::WaitingApproval if session.lanes.is_empty() => {
            let before =
                if session.stage == Stage::Fetching { "anything is done" } else { "the first host is touched" };
            Wait::new("approval", format!("somebody to approve, before {before}")).of_people()
        }
        Phase::Fetching => {
            Wait::new("downloads", "its files to arrive").within(since, Some(session.spec.maintenance_at))
        }
        Phase::Unwinding => Wait::new("unwinding", "everything that it changed to be given back"),
        Phase::Over if session.stage == Stage::Failed => {
            Wait::new("continue", "somebody to retry or delete it, as it failed").of_people()
        }
        Phase::Over | Phase::WaitingApproval | Phase::WaitingHealth | Phase::WaitingReplies | Phase::Working => {
            return working(session);
        }
    };
    Some(if wait.since.is_some() { wait } else { Wait { since, ..wait } })
}

fn working(session: &Session) -> Option<Wait> {
    if let Some(errand) = &session.errand {
        let mut wait = Wait::new("errand", format!("plug-ins of type {} on the management node", errand.kind.name()));
        (wait.host, wait.since) = (Some(errand.host), Some(session.since));
        return Some(wait);
    }
    if let Some(until) = session.rest_until {
        return Some(Wait::new("batch", "the pause between two batches to be over").within(None, Some(until)));
    }
    let since = session.blocked?;
    Some(Wait::new("room", "room for the instances of the next host").within(Some(since), None))
}
