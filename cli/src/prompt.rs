//! Asking the person at the terminal: for a password without echo, or for a yes.

use std::io::{self, BufRead, IsTerminal, Write};
use std::os::fd::AsFd;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::failure::{Failure, Kind};
use crate::output::Output;

/// The longest password that is read, in bytes.
const PASSWORD_MAX: usize = 4096;

/// Asks whether to go on; without a terminal the command itself counts as the yes.
///
/// # Errors
/// The answer is not yes.
pub async fn confirm(yes: bool, question: &str) -> Result<(), Failure> {
    if yes || !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(());
    }
    ask(&format!("{question} [y/N] "));
    let answer = line().await?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(());
    }
    Err(Failure::new(Kind::Interrupted, "nothing was done", "the answer was not yes"))
}

/// Whether there is somebody at a terminal who can be asked.
#[must_use]
pub fn somebody() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks before something that cannot be undone; without a terminal only `--yes` counts as the yes.
///
/// # Errors
/// The answer is not yes, or nobody can be asked.
pub async fn insist(yes: bool, doing: &str, question: &str) -> Result<(), Failure> {
    if !yes && !somebody() {
        let why = "it destroys data, and there is no terminal to ask at";
        return Err(Failure::new(Kind::Usage, format!("cannot {doing}"), why).hint("say so with --yes"));
    }
    confirm(yes, question).await
}

/// Asks a question and returns the answer in small letters.
///
/// # Errors
/// Standard input cannot be read.
pub async fn choice(question: &str) -> Result<String, Failure> {
    ask(question);
    Ok(line().await?.trim().to_ascii_lowercase())
}

/// A value that is not to be seen, asked for once at the terminal.
///
/// # Errors
/// There is no terminal, or nothing was typed.
pub async fn secret(output: &Output, what: &str) -> Result<String, Failure> {
    let refused = |why: &str| Failure::new(Kind::Usage, format!("cannot take {what}"), why);
    if !somebody() {
        return Err(refused("there is no terminal to ask at").hint("name a file with --file, - for standard input"));
    }
    let value = hidden(output, &format!("{what}: ")).await?;
    if value.is_empty() { Err(refused("it is empty")) } else { Ok(value) }
}

/// A new password: the first line of standard input with `from_stdin`, otherwise asked for twice at the terminal.
///
/// # Errors
/// There is neither, it is empty, or the two differ.
pub async fn new_password(output: &Output, user: &str, from_stdin: bool) -> Result<String, Failure> {
    let refused = |why: &str| Failure::new(Kind::Usage, format!("cannot take a password for {user}"), why);
    if from_stdin {
        let password = line().await?;
        let password = password.trim_end_matches(['\n', '\r']);
        return if password.is_empty() { Err(refused("standard input has none")) } else { Ok(password.into()) };
    }
    if !io::stdin().is_terminal() {
        return Err(refused("there is no terminal to ask at").hint("give it on standard input with --password-stdin"));
    }
    let first = hidden(output, &format!("New password for {user}: ")).await?;
    let second = hidden(output, "Again: ").await?;
    match (first == second, first.is_empty()) {
        (true, false) => Ok(first),
        (true, true) => Err(refused("it is empty")),
        (false, _) => Err(refused("the two differ")),
    }
}

async fn hidden(output: &Output, question: &str) -> Result<String, Failure> {
    ask(question);
    let echo = EchoOff::new().map_err(|error| trouble(&error.to_string()))?;
    let answer = line().await;
    drop(echo);
    output.note("");
    Ok(answer?.trim_end_matches(['\n', '\r']).to_owned())
}

fn ask(question: &str) {
    let mut err = io::stderr().lock();
    let written = write!(err, "{}", crate::output::human::clean(question)).and_then(|()| err.flush());
    drop(written);
}

/// Reads a line on a thread of its own, so that Ctrl-C can end the wait.
async fn line() -> Result<String, Failure> {
    let read = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        let limited = io::Read::take(io::stdin().lock(), PASSWORD_MAX as u64);
        io::BufReader::new(limited).read_line(&mut text).map(|_| text)
    });
    match read.await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(trouble(&error.to_string())),
        Err(error) => Err(trouble(&error.to_string())),
    }
}

fn trouble(why: &str) -> Failure {
    Failure::new(Kind::Failed, "cannot read from standard input", why)
}

/// Keeps the terminal from showing what is typed; gives its settings back when dropped, also on Ctrl-C.
struct EchoOff(Termios);

impl EchoOff {
    fn new() -> nix::Result<Self> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut quiet = before.clone();
        quiet.local_flags.remove(LocalFlags::ECHO);
        tcsetattr(stdin.as_fd(), SetArg::TCSANOW, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        // If the terminal is gone there is nothing to give back.
        let _ = tcsetattr(io::stdin().as_fd(), SetArg::TCSANOW, &self.0);
    }
}
