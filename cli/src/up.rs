//! `hostler up`: a whole system on one machine. Starts the manager and an agent that lie beside this executable, enrols
//! the agent, introspects this machine, shows what it found and serves until Ctrl-C.
//!
//! Everything it knows lies in its state directory, so that a second `up` resumes what the first one left, however it
//! ended. The daemons get a pipe as standard input and end when it closes, so not even SIGKILL leaves them behind.

mod bring_up;
mod daemon;
mod files;
mod first_look;
mod settings;
mod stop;
mod summary;

use std::net::SocketAddr;

use clap::Args;

use crate::context::Context;
use crate::failure::Failure;
use crate::output::Output;
use crate::output::progress::Progress;
use daemon::{Daemon, Event};
use stop::Signals;

/// How to bring the system up. `--state-dir` is a global option.
#[derive(Args, Clone, Debug)]
pub struct UpArgs {
    /// Where REST clients connect; port 0 picks a free one and keeps it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where agents connect; port 0 picks a free one and keeps it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:7443")]
    pub agent_listen: SocketAddr,
    /// Stop after the summary
    #[arg(long)]
    pub once: bool,
    /// Start no agent on this machine
    #[arg(long)]
    pub no_agent: bool,
    /// Print nothing but errors
    #[arg(short, long)]
    pub quiet: bool,
}

/// The daemons that run.
#[derive(Default)]
struct System {
    manager: Option<Daemon>,
    agent: Option<Daemon>,
    /// Whether start-up is over, so that a signal is the wanted end rather than an interruption.
    serving: bool,
}

/// What `up` tells people while it works.
struct Reporter {
    output: Output,
    progress: Option<Progress>,
    quiet: bool,
}

impl Reporter {
    /// What is going on now; shown on terminals only.
    fn step(&mut self, text: &str) {
        if !self.quiet {
            self.progress.get_or_insert_with(|| self.output.progress()).say(text);
        }
    }

    /// Something worth keeping.
    fn note(&self, text: &str) {
        match &self.progress {
            _ if self.quiet => {}
            Some(progress) => progress.note(&self.output, text),
            None => self.output.note(text),
        }
    }

    /// Ends the progress display.
    fn settle(&mut self) {
        self.progress = None;
    }
}

/// Runs the command. Returns when everything that it started has ended.
///
/// # Errors
/// The system does not come up, or is interrupted before it has.
pub async fn run(args: &UpArgs, context: &Context) -> Result<(), Failure> {
    settings::check_plain(args.listen, &crate::connect::variable)?;
    let mut signals = Signals::new()?;
    let dir = files::StateDir::open(&context.connect.state_dir()?)?;
    let mut system = System::default();
    let mut reporter = Reporter { output: context.output, progress: None, quiet: args.quiet };
    let outcome = tokio::select! {
        outcome = serve(args, context, &dir, &mut system, &mut reporter) => Some(outcome),
        () = signals.next() => None,
    };
    reporter.settle();
    let outcome = match outcome {
        Some(outcome) => outcome,
        None if system.serving => Ok(()),
        None => Err(Failure::interrupted()),
    };
    if system.serving && !args.once {
        reporter.note("Stopping.");
    }
    stop::all(system, &mut signals).await;
    outcome
}

/// Brings everything up, shows it, and keeps it running; returns only with `--once` or on failure.
async fn serve(
    args: &UpArgs,
    context: &Context,
    dir: &files::StateDir,
    system: &mut System,
    reporter: &mut Reporter,
) -> Result<(), Failure> {
    let up = bring_up::run(args, context, dir, system, reporter).await?;
    system.serving = true;
    let look = first_look::run(args, &up, dir, reporter);
    tokio::select! {
        shown = look => shown?,
        never = keep_running(system, context.output, args.quiet) => match never {},
    }
    if args.once {
        return Ok(());
    }
    match keep_running(system, context.output, args.quiet).await {}
}

/// Restarts what dies, for ever. May be dropped at any point and called again.
async fn keep_running(system: &mut System, output: Output, quiet: bool) -> std::convert::Infallible {
    loop {
        let (name, event) = tokio::select! {
            event = daemon::next(&mut system.manager) => ("manager", event),
            event = daemon::next(&mut system.agent) => ("agent", event),
        };
        let text = match event {
            Event::Died { how, pause } => {
                format!("The {name} ended ({how}); starting it again in {}.", crate::output::human::duration(pause))
            }
            Event::Restarted => format!("The {name} runs again."),
            Event::NotStarted { why, pause } => {
                format!(
                    "The {name} cannot be started ({why}); trying again in {}.",
                    crate::output::human::duration(pause)
                )
            }
        };
        if !quiet {
            output.note(&text);
        }
    }
}
