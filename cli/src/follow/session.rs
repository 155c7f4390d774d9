//! The exchange with the manager behind [`super::run`].

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::Ended;
use super::ledger::{Ledger, News, Omission};
use super::printer::Printer;
use crate::client::Client;
use crate::client::stream::{Message, Messages};
use crate::commands::task::runs_script;
use crate::commands::{task, wait};
use crate::context::Context;
use crate::failure::{Failure, Kind};
use crate::output::Sink;
use crate::output::field::{list, show, string};
use crate::output::human;
use crate::output::progress::Progress;

/// How long a manager that went away is waited for.
const ABSENCE_MAX: Duration = Duration::from_secs(300);
/// The pause before the next attempt to reach it.
const PAUSE: Duration = Duration::from_millis(500);
/// The least time between two looks at the hosts of a run.
const LOOK: Duration = Duration::from_millis(300);
/// How many outputs are asked for at a time.
const AT_A_TIME: usize = 8;
/// Hosts in one answer.
const PAGE: usize = 1000;

/// One task that is followed.
pub struct Session<'a> {
    context: &'a Context,
    client: Client,
    progress: &'a Progress,
    id: i64,
    /// Whether output is shown while it is written.
    live: bool,
    seats: Vec<Seat>,
    printer: Option<Printer<'a>>,
    /// How many steps were shown.
    steps: usize,
    /// The question that was shown last, by its token.
    asked: String,
    /// When the hosts are looked at next, if they are.
    look_at: Option<Instant>,
    /// Since when the manager is away.
    away: Option<Instant>,
}

/// A host of a run.
struct Seat {
    host: String,
    name: String,
    ledger: Ledger,
    /// Everything of it was shown.
    done: bool,
}

impl<'a> Session<'a> {
    /// Prepares; asks nothing yet.
    pub fn new(context: &'a Context, client: Client, progress: &'a Progress, id: i64) -> Self {
        let live = context.output.for_people();
        Self {
            context,
            client,
            progress,
            id,
            live,
            seats: Vec::new(),
            printer: None,
            steps: 0,
            asked: String::new(),
            look_at: None,
            away: None,
        }
    }

    /// Follows the task to its end, over as many connections as that takes.
    ///
    /// # Errors
    /// The manager refuses or stays away.
    pub async fn run(&mut self) -> Result<Ended, Failure> {
        let mut renewed = false;
        loop {
            let failure = match self.attach().await {
                Ok(Some(task)) => return self.end(task).await,
                // The manager ends streams when it stops, and begins again.
                Ok(None) => {
                    renewed = false;
                    sleep(PAUSE).await;
                    continue;
                }
                Err(failure) => failure,
            };
            if failure.status == Some(401) && !renewed {
                // The token has ended; where there is a password, there is another one.
                renewed = true;
                self.client = self.context.client().await?;
                continue;
            }
            let since = *self.away.get_or_insert_with(|| {
                if wait::transient(&failure) {
                    self.progress.note(&self.context.output, &format!("{}; waiting for the manager", failure.why));
                }
                Instant::now()
            });
            if !wait::transient(&failure) {
                return Err(task::unknown(failure));
            }
            if since.elapsed() > ABSENCE_MAX {
                return Err(failure.hint(format!("`hostler task watch {}` follows the task again", self.id)));
            }
            sleep(PAUSE).await;
        }
    }

    /// Follows one stream. The task once it has ended; `None` if the stream ended before.
    async fn attach(&mut self) -> Result<Option<Value>, Failure> {
        let number = self.id.to_string();
        let call = self.client.get(self.doing(), &["api", "tasks", &number, "events"]);
        let call = if self.live { call.query("output", Some("true")).query("bytes", Some("true")) } else { call };
        let mut stream = call.messages().await?;
        // What was written before the stream began is asked for.
        self.seats.iter_mut().for_each(|seat| seat.ledger.behind = true);
        let mut fresh = self.live;
        loop {
            let Some(message) = self.next(&mut stream).await? else {
                self.look().await?;
                continue;
            };
            let Some(message) = message else { return Ok(None) };
            self.away = None;
            let data: Value = serde_json::from_str(&message.data).map_err(|error| {
                let why = format!("a message is not JSON: {error}");
                Failure::new(Kind::Failed, format!("cannot {}", self.doing()), why)
            })?;
            match message.event.as_str() {
                "task" => {
                    self.task(&data);
                    if data["done"] == true {
                        return Ok(Some(data));
                    }
                    if std::mem::take(&mut fresh) && runs_script(&data) {
                        self.look().await?;
                    }
                }
                "output" => self.written(&data)?,
                _ => {}
            }
        }
    }

    /// The next message of the stream; `None` if it is time to look at the hosts.
    async fn next(&self, stream: &mut Messages) -> Result<Option<Option<Message>>, Failure> {
        let Some(look_at) = self.look_at else { return stream.next().await.map(Some) };
        tokio::select! {
            biased;
            () = sleep_until(look_at) => Ok(None),
            message = stream.next() => message.map(Some),
        }
    }

    fn doing(&self) -> String {
        format!("follow task {}", self.id)
    }

    /// The task changed.
    fn task(&mut self, task: &Value) {
        self.progress.say(format!("{} {}", show(task, "name"), show(task, "state")));
        let complete = task["progress"]["complete"].as_u64().unwrap_or(0);
        self.progress.set(complete, task["progress"]["total"].as_u64().unwrap_or(0));
        if runs_script(task) {
            self.look_soon();
        } else if self.live {
            let steps = list(task, "steps");
            for step in steps.iter().skip(self.steps) {
                self.progress.note(&self.context.output, &task::step_line(step));
            }
            self.steps = self.steps.max(steps.len());
        }
        if let Some(token) = string(task, "question.token").filter(|token| *token != self.asked) {
            let question = task::question(task);
            let how = format!("hostler task answer {} RESPONSE", self.id);
            self.progress.note(&self.context.output, &format!("The task asks: {question}; answer with `{how}`"));
            self.asked = token.to_owned();
        }
    }

    fn look_soon(&mut self) {
        if self.live && self.look_at.is_none() {
            self.look_at = Some(Instant::now() + LOOK);
        }
    }

    /// A script wrote something.
    fn written(&mut self, event: &Value) -> Result<(), Failure> {
        if event["missed"].is_u64() {
            self.seats.iter_mut().for_each(|seat| seat.ledger.behind = true);
            self.look_soon();
            return Ok(());
        }
        match self.seats.iter().position(|seat| event["name"] == *seat.name) {
            Some(index) => self.piece(index, event),
            None => {
                self.look_soon();
                Ok(())
            }
        }
    }

    /// Shows a piece of an output, as far as it is new.
    fn piece(&mut self, index: usize, piece: &Value) -> Result<(), Failure> {
        let (Some(seat), Some(printer)) = (self.seats.get_mut(index), &mut self.printer) else { return Ok(()) };
        let offset = piece["offset"].as_u64().unwrap_or(0);
        let bytes = STANDARD.decode(piece["data"].as_str().unwrap_or_default()).unwrap_or_default();
        let sink = if piece["stream"] == "stderr" { Sink::Err } else { Sink::Out };
        match seat.ledger.bytes(offset, bytes.len()) {
            News::Old => Ok(()),
            News::From(first) => printer.bytes(index, sink, &bytes[first..]),
            News::Gap => {
                self.look_soon();
                Ok(())
            }
        }
    }

    /// Looks how the hosts stand, and asks for output that was not seen. What is in the stream meanwhile waits there.
    async fn look(&mut self) -> Result<(), Failure> {
        self.look_at = None;
        let targets = targets(&self.client, self.id).await?;
        if self.printer.is_none() && !targets.is_empty() {
            let names: Vec<String> = targets.iter().map(|target| show(target, "name")).collect();
            self.printer = Some(Printer::new(self.context.output, self.progress, &names));
            let seat = |target: &Value| Seat {
                host: show(target, "host"),
                name: target["name"].as_str().unwrap_or_default().to_owned(),
                ledger: Ledger { shown: 0, behind: true },
                done: false,
            };
            self.seats = targets.iter().map(seat).collect();
        }
        let wanted = |(seat, target): (&Seat, &Value)| {
            let written = target["outputBytes"].as_u64().unwrap_or(0);
            !seat.done && if over(target) { written > seat.ledger.shown } else { begun(target) && seat.ledger.behind }
        };
        let wanted: Vec<usize> = (0..self.seats.len().min(targets.len()))
            .filter(|index| wanted((&self.seats[*index], &targets[*index])))
            .collect();
        self.catch_up(&wanted).await?;
        for (index, target) in targets.iter().enumerate().filter(|(_, target)| over(target)) {
            self.finish(index, target)?;
        }
        Ok(())
    }

    /// Asks for the outputs of these hosts from where they were shown.
    async fn catch_up(&mut self, wanted: &[usize]) -> Result<(), Failure> {
        let mut set = JoinSet::new();
        let mut rest = wanted.iter().copied();
        loop {
            while set.len() < AT_A_TIME
                && let Some(index) = rest.next()
            {
                let (client, id, host) = (self.client.clone(), self.id, self.seats[index].host.clone());
                let shown = self.seats[index].ledger.shown;
                set.spawn(async move { (index, pieces(&client, id, &host, shown).await) });
            }
            let Some(joined) = set.join_next().await else { return Ok(()) };
            let (index, answer) =
                joined.map_err(|error| Failure::new(Kind::Failed, "cannot read outputs", error.to_string()))?;
            let answer = answer?;
            self.seats[index].ledger.behind = false;
            for piece in list(&answer, "pieces") {
                match piece["omitted"].as_u64() {
                    Some(count) => self.omitted(index, piece, count, answer["over"] == true)?,
                    None => self.piece(index, piece)?,
                }
            }
        }
    }

    fn omitted(&mut self, index: usize, piece: &Value, count: u64, over: bool) -> Result<(), Failure> {
        let (Some(seat), Some(printer)) = (self.seats.get_mut(index), &mut self.printer) else { return Ok(()) };
        if let Omission::Gone(count) = seat.ledger.omitted(piece["offset"].as_u64().unwrap_or(0), count, over) {
            printer.finish(index)?;
            printer.say(index, &format!("… {} omitted …", human::bytes(count)));
        }
        Ok(())
    }

    /// A host is done: shows the rest, and why it is not as it should be.
    fn finish(&mut self, index: usize, target: &Value) -> Result<(), Failure> {
        let (Some(seat), Some(printer)) = (self.seats.get_mut(index), &mut self.printer) else { return Ok(()) };
        if seat.done {
            return Ok(());
        }
        seat.done = true;
        printer.finish(index)?;
        if target["state"] != "ok" && self.seats.len() > 1 {
            printer.say(index, &manner(target));
        }
        Ok(())
    }

    /// The task has ended: shows what was not shown yet.
    async fn end(&mut self, task: Value) -> Result<Ended, Failure> {
        if !runs_script(&task) {
            return Ok(Ended { task, targets: Vec::new() });
        }
        let since = Instant::now();
        loop {
            let looked = if self.live { self.look().await } else { Ok(()) };
            let found = match looked {
                Ok(()) => targets(&self.client, self.id).await,
                Err(failure) => Err(failure),
            };
            match found {
                Ok(targets) => return Ok(Ended { task, targets }),
                Err(failure) if wait::transient(&failure) && since.elapsed() < ABSENCE_MAX => sleep(PAUSE).await,
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Whether nothing more can come from a host.
fn over(target: &Value) -> bool {
    !matches!(target["state"].as_str(), Some("pending" | "delivering" | "running"))
}

fn begun(target: &Value) -> bool {
    matches!(target["state"].as_str(), Some("delivering" | "running"))
}

/// How it went on a host, in words.
pub fn manner(target: &Value) -> String {
    let state = show(target, "state").replace('_', " ");
    let how = match (target["exitCode"].as_i64(), target["signal"].as_i64(), string(target, "error")) {
        (Some(code), ..) if target["state"] == "failed" => format!("exited {code}"),
        (_, Some(signal), _) if target["state"] == "failed" => format!("ended by signal {signal}"),
        (_, _, Some(error)) => human::clean(error),
        _ => return state,
    };
    if target["state"] == "failed" { how } else { format!("{state}: {how}") }
}

/// The hosts of a run, in their order.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn targets(client: &Client, id: i64) -> Result<Vec<Value>, Failure> {
    let number = id.to_string();
    let mut found: Vec<Value> = Vec::new();
    loop {
        let after = found.last().map(|target| show(target, "position"));
        let call = client.get(format!("read the hosts of task {id}"), &["api", "tasks", &number, "targets"]);
        let page = call.query("limit", Some(&PAGE.to_string())).query("after", after.as_deref()).json().await?;
        let Value::Array(page) = page else { return Ok(found) };
        let last = page.len() < PAGE;
        found.extend(page);
        if last {
            return Ok(found);
        }
    }
}

async fn pieces(client: &Client, id: i64, host: &str, offset: u64) -> Result<Value, Failure> {
    let number = id.to_string();
    let call = client.get(format!("read the output of task {id}"), &["api", "tasks", &number, "output"]);
    let call = call.query("server", Some(host)).query("offset", Some(&offset.to_string()));
    call.query("pieces", Some("true")).json().await
}

/// What a script wrote on a host to standard output and standard error, as far as the manager keeps it, as text.
///
/// # Errors
/// The manager refuses or is not reached.
pub async fn outputs(client: &Client, id: i64, host: &str) -> Result<[String; 2], Failure> {
    let answer = pieces(client, id, host, 0).await?;
    let mut bytes = [Vec::new(), Vec::new()];
    for piece in list(&answer, "pieces") {
        match piece["omitted"].as_u64() {
            Some(count) => bytes[0].extend_from_slice(format!("\n… {count} bytes omitted …\n").as_bytes()),
            None => {
                let data = STANDARD.decode(piece["data"].as_str().unwrap_or_default()).unwrap_or_default();
                bytes[usize::from(piece["stream"] == "stderr")].extend(data);
            }
        }
    }
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}
