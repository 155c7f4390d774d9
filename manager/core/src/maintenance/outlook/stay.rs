//! What a host is doing, or waits for.

use super::Wait;
use crate::maintenance::stay::{Activity, Stage, Stay};

/// What a host does or waits for right now; `None` if its stay is over or was not begun.
#[must_use]
pub fn of_stay(stay: &Stay) -> Option<Wait> {
    let host = Some(stay.host);
    let told = |wait: Wait| Wait { host, ..wait };
    match stay.stage {
        Stage::Unknown => {
            let mut wait = Wait::new("outcome", "somebody to say how a step ended: its outcome is unknown").of_people();
            wait.detail = stay.reason.as_ref().map(|reason| reason.text.clone()).unwrap_or_default();
            return Some(told(wait));
        }
        Stage::Fresh | Stage::Failed | Stage::Done | Stage::Skipped | Stage::Held => return None,
        Stage::Working | Stage::Leaving => {}
    }
    let Some(Activity { what, text, since, until, said, person }) = stay.activity() else {
        let again = stay.again_at?;
        let mut wait = Wait::new("retry", "the next attempt").within(None, Some(again));
        wait.detail = stay.waits.as_ref().map(|reason| reason.text.clone()).unwrap_or_default();
        return Some(told(wait));
    };
    let detail = stay.waits.as_ref().map_or(said, |reason| reason.text.clone());
    // A reason that stands alone elsewhere says first what is waited for.
    let found = detail.strip_prefix(&text).and_then(|rest| rest.strip_prefix(": ")).map(str::to_owned);
    let detail = found.unwrap_or(detail);
    Some(Wait { what, host, text, detail, since: Some(since), until, person })
}
