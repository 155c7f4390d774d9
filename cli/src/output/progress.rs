//! A spinner or bar on standard error while something is waited for; nothing at all where that is no terminal.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// One line of progress. Disappears when dropped.
pub struct Progress(ProgressBar);

impl Progress {
    /// A progress line, invisible unless `visible`.
    #[must_use]
    pub fn new(visible: bool) -> Self {
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(None, target).with_style(ProgressStyle::default_spinner());
        if visible {
            bar.enable_steady_tick(Duration::from_millis(120));
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
        self.0.suspend(|| output.note(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
