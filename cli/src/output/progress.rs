//! A spinner or bar on standard error while something is waited for; nothing at all where that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often the line moves.
const TICK: Duration = Duration::from_millis(120);

/// One line of progress. Disappears when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// A progress line, invisible unless `visible`.
    #[must_use]
    pub fn new(visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_style(ProgressStyle::default_spinner());
        if visible {
            bar.enable_steady_tick(TICK);
        }
        Self(bar)
    }

    /// What is being waited for.
    pub fn say(&self, what: impl Into<String>) {
        self.0.set_message(super::human::clean(&what.into()));
    }

    /// How much of it is done; shows a bar from the first call with a total.
    pub fn set(&self, complete: u64, total: u64) {
        if total == 0 {
            return;
        }
        if self.0.length() != Some(total) {
            self.0.set_length(total);
            if let Ok(style) = ProgressStyle::with_template("{spinner} [{bar:24}] {pos}/{len} {msg}") {
                self.0.set_style(style.progress_chars("=> "));
            }
        }
        self.0.set_position(complete.min(total));
    }

    /// Prints a line to standard error without disturbing the progress line.
    pub fn note(&self, output: &super::Output, text: &str) {
        self.aside(|| output.note(text));
    }

    /// Has something written without disturbing the progress line.
    pub fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        self.0.suspend(write)
    }

    /// Takes the line away while somebody is asked something.
    pub fn hide(&self) {
        self.0.disable_steady_tick();
        self.0.set_draw_target(ProgressDrawTarget::hidden());
    }

    /// Brings it back.
    pub fn show(&self) {
        self.0.set_draw_target(ProgressDrawTarget::stderr());
        self.0.enable_steady_tick(TICK);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
