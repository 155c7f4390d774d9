//! `hostler-swarm`: the load tool of the tests. Many real agents in one process against one manager; see docs/benchmarks.md.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use hostler_tests::swarm::agent::Shared;
use hostler_tests::swarm::crew::{Crew, Muster};
use hostler_tests::swarm::document::Template;
use hostler_tests::swarm::fill;
use hostler_tests::swarm::report::Report;
use hostler_tests::swarm::rest::Rest;
use hostler_tests::swarm::rounds::{Round, all_connected, all_ended, introspect, latency};
use hostler_tests::swarm::usage::{Memory, processor_time};
use hostler_tests::swarm::{scripts, sessions};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::time::Instant;

/// How long anything may take before the tool gives up.
const PATIENCE: Duration = Duration::from_secs(300);

/// Many agents against one manager.
#[derive(Parser)]
#[command(name = "hostler-swarm", version)]
struct Arguments {
    /// Print one JSON object instead of lines.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    mode: Mode,
}

#[derive(Subcommand)]
enum Mode {
    /// Connect and stay connected.
    Connect {
        #[command(flatten)]
        swarm: Swarm,
        /// How long to stay after all are connected and introspected, in seconds.
        #[arg(long, default_value_t = 30)]
        hold: u64,
    },
    /// Connect, then introspect all through the REST interface.
    Introspect {
        #[command(flatten)]
        swarm: Swarm,
        /// How often.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// How many requests at once.
        #[arg(long, default_value_t = 32)]
        requests: usize,
    },
    /// Connect, then run a script that ends at once: on all hosts together, then on one after the other.
    Scripts {
        #[command(flatten)]
        swarm: Swarm,
        /// How often on all hosts.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// How often on one.
        #[arg(long, default_value_t = 1000)]
        singles: u32,
    },
    /// Run a script on all hosts of a manager, whose agents are there already: on all together, then one that writes a byte on
    /// one after the other.
    Hosts {
        #[command(flatten)]
        manager: Manager,
        /// The script; without it, one that writes a byte.
        #[arg(long, value_name = "FILE")]
        script: Option<PathBuf>,
        /// How often on all hosts.
        #[arg(long, default_value_t = 5)]
        rounds: u32,
        /// How often on one.
        #[arg(long, default_value_t = 0)]
        singles: u32,
    },
    /// Connect, then take all hosts through maintenance sessions whose steps change nothing: all hosts at once, then some of
    /// them one after the other.
    Sessions {
        #[command(flatten)]
        swarm: Swarm,
        /// How often all at once.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
        /// Whether also one after the other.
        #[arg(long)]
        singly: bool,
    },
    /// Plan a session for a fleet that is only in memory.
    Plan {
        /// Of how many hosts.
        #[arg(long, default_value_t = 1000)]
        hosts: u32,
        /// With how many instances.
        #[arg(long, default_value_t = 10_000)]
        instances: u32,
        /// How often.
        #[arg(long, default_value_t = 3)]
        rounds: u32,
    },
    /// Measure how long pages of the list of tasks take, in the usual orders and with the usual conditions.
    Tasks {
        #[command(flatten)]
        manager: Manager,
        /// How often each page.
        #[arg(long, default_value_t = 200)]
        times: u32,
    },
    /// Measure one introspection after the other, from the request until its record shows the end.
    Latency {
        #[command(flatten)]
        manager: Manager,
        /// The host, by id or name; its agent must be connected.
        #[arg(long)]
        host: String,
        /// How often.
        #[arg(long, default_value_t = 20)]
        rounds: u32,
    },
    /// Write finished introspections into the store of a manager that does not run.
    Fill {
        /// The manager's state directory.
        #[arg(long, value_name = "DIR")]
        state_dir: PathBuf,
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        count: u32,
        /// How many tasks that ended besides.
        #[arg(long, default_value_t = 0)]
        tasks: u32,
        /// The size of their documents.
        #[arg(long, default_value_t = 6)]
        document_kib: usize,
    },
}

#[derive(Args)]
struct Manager {
    /// The manager's REST interface.
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// A token for it.
    #[arg(long, env = "HOSTLER_API_TOKEN", hide_env_values = true)]
    api_token: String,
}

#[derive(Args)]
struct Swarm {
    #[command(flatten)]
    rest: Manager,
    /// Where the manager listens for agents.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7443")]
    manager: String,
    /// A join token with as many uses as there are agents.
    #[arg(long, env = "HOSTLER_JOIN_TOKEN", hide_env_values = true)]
    token: String,
    /// How many agents.
    #[arg(long, default_value_t = 1000)]
    agents: u32,
    /// How many of them enrol or connect at once.
    #[arg(long, default_value_t = 32)]
    at_once: usize,
    /// Where identities are kept.
    #[arg(long, value_name = "DIR")]
    state_dir: PathBuf,
    /// What the agents find; without it, documents are made up.
    #[arg(long, value_name = "FILE")]
    document: Option<PathBuf>,
    /// The size of documents that are made up.
    #[arg(long, default_value_t = 60)]
    document_kib: usize,
    /// How long a probe takes, in milliseconds.
    #[arg(long, default_value_t = 0)]
    probe_ms: u64,
    /// The manager's process, whose memory is measured.
    #[arg(long, value_name = "PID")]
    manager_pid: Option<u32>,
}

fn main() -> ExitCode {
    // It fails only when it was done before.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    let arguments = Arguments::parse();
    let mut report = Report::default();
    let done = raise_limit().and_then(|()| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(run(arguments.mode, &mut report))
    });
    // Whoever closed our output does not want to know.
    report.write(&mut std::io::stdout(), arguments.json).ok();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(std::io::stderr(), "hostler-swarm: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

/// Each agent has a socket.
fn raise_limit() -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

async fn run(mode: Mode, report: &mut Report) -> anyhow::Result<()> {
    match mode {
        Mode::Connect { swarm, hold } => {
            let party = Party::gather(swarm, report).await?;
            tokio::time::sleep(Duration::from_secs(hold)).await;
            party.dismiss("held", report).await
        }
        Mode::Introspect { swarm, rounds, requests } => {
            let party = Party::gather(swarm, report).await?;
            for number in 1..=rounds {
                let before = party.processor_time()?;
                let round = introspect(&party.rest, &party.crew.hosts, requests, PATIENCE).await?;
                tell(report, &format!("round{number}"), round);
                if let (Some(before), Some(after)) = (before, party.processor_time()?) {
                    report.seconds(format!("round{number}_manager_cpu_s"), after.saturating_sub(before));
                }
            }
            party.dismiss("rounds", report).await
        }
        Mode::Latency { manager, host, rounds } => {
            let rest = Rest::new(&manager.url, &manager.api_token)?;
            let mut all = Vec::new();
            for _ in 0..rounds {
                all.push(latency(&rest, &host, PATIENCE).await?);
            }
            report.add("rounds", rounds);
            report.spread("start_to_finished", all);
            Ok(())
        }
        Mode::Scripts { swarm, rounds, singles } => run_scripts(swarm, rounds, singles, report).await,
        Mode::Sessions { swarm, rounds, singly } => run_sessions(swarm, rounds, singly, report).await,
        Mode::Plan { hosts, instances, rounds } => {
            for number in 1..=rounds {
                let (plan, took) = sessions::plan_of(hosts, instances);
                report.add("landings", plan.hosts.iter().map(|host| host.landings.len()).sum::<usize>());
                report.add("blockers", plan.hosts.iter().map(|host| host.blockers.len()).sum::<usize>());
                report.seconds(format!("round{number}_s"), took);
            }
            Ok(())
        }
        Mode::Hosts { manager, script, rounds, singles } => run_hosts(&manager, script, rounds, singles, report).await,
        Mode::Tasks { manager, times } => {
            let rest = Rest::new(&manager.url, &manager.api_token)?;
            for (name, page) in scripts::pages() {
                report.spread(name, scripts::page(&rest, &page, times).await?);
            }
            Ok(())
        }
        Mode::Fill { state_dir, count, tasks, document_kib } => {
            let begun = Instant::now();
            fill::fill(&state_dir, count, &Template::generated(document_kib)).await?;
            fill::fill_tasks(&state_dir, tasks).await?;
            report.add("filled_tasks", tasks);
            report.add("filled", count);
            report.seconds("filled_s", begun.elapsed());
            Ok(())
        }
    }
}

async fn run_scripts(swarm: Swarm, rounds: u32, singles: u32, report: &mut Report) -> anyhow::Result<()> {
    let party = Party::gather(swarm, report).await?;
    let servers = scripts::servers(&party.rest).await?;
    anyhow::ensure!(servers.len() == party.crew.hosts.len(), "{} servers are listed", servers.len());
    for number in 1..=rounds {
        let (before, own) = (party.processor_time()?, processor_time(std::process::id())?);
        let round = scripts::everywhere(&party.rest, &servers, scripts::SCRIPT, PATIENCE).await?;
        report.seconds(format!("round{number}_accepted_s"), round.accepted);
        report.seconds(format!("round{number}_s"), round.ended);
        let own = processor_time(std::process::id())?.saturating_sub(own);
        report.seconds(format!("round{number}_swarm_cpu_s"), own);
        if let (Some(before), Some(after)) = (before, party.processor_time()?) {
            report.seconds(format!("round{number}_manager_cpu_s"), after.saturating_sub(before));
        }
    }
    report.spread("first_byte", first_bytes(&party.rest, &servers, singles).await?);
    party.dismiss("scripts", report).await
}

async fn run_sessions(swarm: Swarm, rounds: u32, singly: bool, report: &mut Report) -> anyhow::Result<()> {
    let party = Party::gather(swarm, report).await?;
    for number in 1..=rounds {
        let before = party.processor_time()?;
        let session = sessions::everywhere(&party.rest, 0, PATIENCE).await?;
        report.seconds(format!("round{number}_accepted_s"), session.accepted);
        report.seconds(format!("round{number}_s"), session.ended);
        if let (Some(before), Some(after)) = (before, party.processor_time()?) {
            report.seconds(format!("round{number}_manager_cpu_s"), after.saturating_sub(before));
        }
    }
    report.spread("gap", party.take_gaps());
    if singly {
        let session = sessions::everywhere(&party.rest, 1, PATIENCE).await?;
        report.seconds("singly_s", session.ended);
        report.spread("singly_gap", party.take_gaps());
    }
    party.dismiss("sessions", report).await
}

async fn run_hosts(
    manager: &Manager,
    script: Option<PathBuf>,
    rounds: u32,
    singles: u32,
    report: &mut Report,
) -> anyhow::Result<()> {
    let rest = Rest::new(&manager.url, &manager.api_token)?;
    let servers = scripts::all_servers(&rest).await?;
    let script = script.map_or_else(|| Ok(scripts::SCRIPT.to_owned()), std::fs::read_to_string)?;
    let mut all = Vec::new();
    for _ in 0..rounds {
        all.push(scripts::everywhere(&rest, &servers, &script, PATIENCE).await?.ended);
    }
    report.add("hosts", servers.len());
    report.list("rounds_s", &all);
    report.spread("first_byte", first_bytes(&rest, &servers, singles).await?);
    Ok(())
}

/// How long it took each time until a script on one server, another one each time, showed its first byte.
async fn first_bytes(rest: &Rest, servers: &[i64], times: u32) -> anyhow::Result<Vec<Duration>> {
    anyhow::ensure!(!servers.is_empty(), "there is no server");
    let mut took = Vec::new();
    for (_, server) in (0..times).zip(servers.iter().cycle()) {
        took.push(scripts::first_byte(rest, *server).await?);
    }
    Ok(took)
}

/// A swarm that is connected, with its first introspections done.
struct Party {
    crew: Crew,
    rest: Rest,
    shared: Arc<Shared>,
    watched: Option<(u32, Memory)>,
}

impl Party {
    async fn gather(swarm: Swarm, report: &mut Report) -> anyhow::Result<Self> {
        let template = match &swarm.document {
            Some(file) => Template::read(file)?,
            None => Template::generated(swarm.document_kib),
        };
        let rest = Rest::new(&swarm.rest.url, &swarm.rest.api_token)?;
        report.add("agents", swarm.agents);
        report.add("document_bytes", template.size());
        let watched = swarm.manager_pid.map(|pid| Memory::of(pid).map(|memory| (pid, memory))).transpose()?;
        if let Some((_, before)) = watched {
            report.add("manager_before_kib", before.resident);
        }
        let shared = Arc::new(Shared::new(template, Duration::from_millis(swarm.probe_ms)));
        let began = Instant::now();
        let muster = Muster {
            manager: swarm.manager,
            token: swarm.token,
            state_dir: swarm.state_dir,
            agents: swarm.agents,
            at_once: swarm.at_once,
        };
        let crew = Crew::muster(&muster, &shared).await?;
        report.add("enrolled", crew.enrolled);
        all_connected(&rest, u64::from(swarm.agents), PATIENCE).await?;
        report.seconds("all_connected_s", began.elapsed());
        let party = Self { crew, rest, shared, watched };
        // A host that enrols is introspected at once; one that is known was before.
        let first = all_ended(&party.rest, &party.crew.hosts, &HashMap::new(), PATIENCE).await?;
        report.seconds("all_connected_and_known_s", began.elapsed());
        report.add("first_errors", first.errors.len());
        party.weigh("connected", report)?;
        Ok(party)
    }

    /// The processor time of the manager until now, if that is measured.
    fn processor_time(&self) -> anyhow::Result<Option<Duration>> {
        self.watched.map(|(pid, _)| processor_time(pid)).transpose()
    }

    /// How long it took from step to step, since this was asked last.
    fn take_gaps(&self) -> Vec<Duration> {
        std::mem::take(&mut *self.shared.gaps.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reports the manager's memory and what of it is there for each agent.
    fn weigh(&self, when: &str, report: &mut Report) -> anyhow::Result<()> {
        let Some((pid, before)) = self.watched else { return Ok(()) };
        let now = Memory::of(pid)?;
        let agents = (self.crew.hosts.len() as u64).max(1);
        report.add(format!("manager_{when}_kib"), now.resident);
        report.add(format!("manager_{when}_kib_per_agent"), now.resident.saturating_sub(before.resident) / agents);
        report
            .add(format!("manager_{when}_heap_kib_per_agent"), now.anonymous.saturating_sub(before.anonymous) / agents);
        Ok(())
    }

    async fn dismiss(self, when: &str, report: &mut Report) -> anyhow::Result<()> {
        self.weigh(when, report)?;
        report.add("jobs_begun", self.shared.begun.load(Ordering::Relaxed));
        report.add("jobs_acknowledged", self.shared.acknowledged.load(Ordering::Relaxed));
        report.add("links_lost", self.shared.closed.load(Ordering::Relaxed));
        self.crew.dismiss().await;
        Ok(())
    }
}

fn tell(report: &mut Report, name: &str, round: Round) {
    report.seconds(format!("{name}_s"), round.took);
    report.spread(&format!("{name}_accept"), round.accepts);
    report.spread(&format!("{name}_each"), round.each);
    report.add(format!("{name}_errors"), round.errors.len());
    if let Some(error) = round.errors.first() {
        report.add(format!("{name}_first_error"), error.as_str());
    }
}
