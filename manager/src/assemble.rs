//! Constructs everything once, starts it, and stops it in order. The only place that knows concrete types of every layer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hostler_common::hook::HookPoint;
use hostler_common::time::{Clock as _, SystemClock};
use hostler_core::introspection::command::Settings;
use hostler_core::refresh;
use hostler_core::refresh::schedule::Intervals;
use hostler_daemon::files;
use hostler_daemon::process::{Service, lock_state};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::config::Config;
use crate::download::{Downloads, Folder, folder_of};
use crate::engine::compute::ComputeSide;
use crate::engine::{Engine, EngineSettings, MaintenanceSettings, OsSeeds, Retention};
use crate::fleet::authority::{Authority, OperatorPki};
use crate::fleet::ca::Ca;
use crate::fleet::{self, Fleet};
use crate::gate::Gates;
use crate::hooks::Hooks;
use crate::identity::Identity;
use crate::startup;
use crate::store::{Options, Store, host};
use crate::webhook::{Webhooks, reach};

const DAY: Duration = Duration::from_secs(86_400);

/// Where the store is.
#[must_use]
pub fn store_options(config: &Config) -> Options {
    match &config.database.url {
        Some(url) => Options::Postgres(url.clone()),
        None => Options::Sqlite(config.state_dir.join("manager.db")),
    }
}

/// The settings of the engine.
#[must_use]
pub fn engine_settings(config: &Config) -> EngineSettings {
    let introspection = &config.introspection;
    EngineSettings {
        cluster: hostler_core::cluster::Settings { ignored: config.watch.ignored_health_checks.clone() },
        introspection: Arc::new(Settings {
            waiting_deadline: Duration::from_secs(introspection.timeout),
            dedup_window: Duration::from_secs(introspection.dedup_window),
            probe_deadline: Duration::from_secs(introspection.probe_timeout),
            permit_active: introspection.permit_active_introspection,
            processing: introspection.processing.clone(),
            ..Settings::default()
        }),
        refresh: Arc::new(refresh_settings(introspection)),
        inventories_kept: introspection.inventories_kept,
        retention: Retention {
            events: DAY * config.retention.events_days,
            audit: DAY * config.retention.audit_days,
            tasks: DAY * config.retention.tasks_days,
            outputs: DAY * config.retention.outputs_days,
            jobs: DAY * config.retention.jobs_days,
            changes: DAY * config.retention.changes_days,
            join_tokens: DAY * config.retention.join_tokens_days,
            certificates: DAY * config.retention.certificates_days,
        },
        maintenance: maintenance_settings(&config.maintenance),
        compute: ComputeSide::default(),
    }
}

fn maintenance_settings(configured: &crate::config::Maintenance) -> MaintenanceSettings {
    // A machine that does not know its name has none of the fleet's.
    let own = || std::fs::read_to_string("/proc/sys/kernel/hostname").ok().map(|name| name.trim().to_owned());
    MaintenanceSettings {
        max_active_sessions: configured.max_active_sessions,
        history: DAY * configured.history_retention_days,
        stall_alert: Duration::from_secs(configured.stall_alert_s.into()),
        manager: configured.management_host.clone().or_else(own),
    }
}

fn refresh_settings(introspection: &crate::config::Introspection) -> refresh::command::Settings {
    let configured = &introspection.refresh;
    refresh::command::Settings {
        enabled: configured.enabled,
        intervals: Intervals::new(configured.intervals().map(|(_, seconds)| Duration::from_secs(seconds))),
        share_percent: configured.at_once_percent,
        at_once_min: configured.at_once_min,
        publish: introspection.publish_refresh_as_introspection,
        probe_deadline: Duration::from_secs(introspection.probe_timeout),
        processing: introspection.processing.clone(),
    }
}

/// The settings of the fleet.
#[must_use]
pub fn fleet_settings(config: &Config) -> fleet::Settings {
    fleet::Settings {
        heartbeat: Duration::from_secs(u64::from(config.agents.heartbeat_s)),
        certificate_life: Duration::from_secs(u64::from(config.agents.certificate_hours) * 3600),
        max_clock_skew: Duration::from_secs(u64::from(config.agents.max_clock_skew_s)),
        max_connections: config.agents.max_connections as usize,
        watch: fleet::assignment::Watch {
            persistent_path: config.watch.persistent_path.clone(),
            lease_files: config.watch.leases.iter().map(Into::into).collect(),
            lease_renewals: config.watch.lease_renewals,
        },
    }
}

/// Looks at what the settings point to: files that are there and of use, an address that can be understood. Opens no socket
/// and no store.
///
/// # Errors
/// The error names the key.
pub fn check(config: &Config) -> anyhow::Result<()> {
    store_options(config).check().map_err(anyhow::Error::msg).context("database.url")?;
    crate::api::server::tls_of(&config.listen)
        .context("listen.tls_certificate, listen.tls_key and listen.client_ca_file")?;
    if let Some(keystone) = &config.auth.keystone {
        crate::identity::keystone::check(keystone).map_err(anyhow::Error::msg)?;
    }
    if let Some(pki) = &config.pki {
        OperatorPki::open(pki.clone()).context("pki")?;
    }
    if let Some(file) = &config.auth.htpasswd_file {
        std::fs::read_to_string(file).with_context(|| format!("auth.htpasswd_file: {}", file.display()))?;
    }
    if let Some(file) = &config.webhooks.ca_file {
        reach::check_ca_file(file).map_err(anyhow::Error::msg)?;
    }
    Ok(())
}

/// Runs the manager until `stop`.
///
/// # Errors
/// Something that it needs cannot be had; the error says what, and with which setting it is about.
pub async fn run(config: Config, stop: CancellationToken) -> anyhow::Result<()> {
    run_with(config, ComputeSide::default(), stop).await
}

/// Runs the manager until `stop`, with instances that somebody else knows of.
///
/// # Errors
/// As [`run`].
pub async fn run_with(config: Config, compute: ComputeSide, stop: CancellationToken) -> anyhow::Result<()> {
    files::make_folder(&config.state_dir).with_context(|| format!("state_dir: {}", config.state_dir.display()))?;
    // Two managers on one SQLite file would each believe to be the only one.
    let _lock = lock_state(&config.state_dir, "manager")?;
    let store = Store::open(&store_options(&config)).await.context("the store cannot be opened")?;
    store.write(|tx| Box::pin(host::host_all_offline(tx))).await?;
    let engine = Engine::new(
        store,
        Arc::new(SystemClock),
        Arc::new(OsSeeds),
        EngineSettings { compute, ..engine_settings(&config) },
    )
    .begins();
    let hooks = Hooks::open(engine.clone(), &config.state_dir, config.croit.script_max_bytes as usize)
        .context("the keys of scripts and secrets")?;
    let files = Folder::new(folder_of(&config.state_dir));
    let fleet = Fleet::new(engine.clone(), authority(&config)?, fleet_settings(&config));
    let fleet = fleet.with_keys(hooks.keys()).with_files(files);
    let identity = Identity::new(engine.clone(), &config.auth);
    if let Some(bootstrap) = &config.bootstrap {
        identity.bootstrap(bootstrap).await.context("bootstrap")?;
    }
    let reason = startup::reason(&config.state_dir).context("the version of the last start")?;
    let rest = listen("listen.rest", config.listen.rest).await?;
    let agents = listen("listen.agents", config.listen.agents).await?;
    let maintenance = match config.listen.maintenance {
        Some(address) => Some(listen("listen.maintenance", address).await?),
        None => None,
    };
    write_addresses(&config.state_dir, &rest, &agents, maintenance.as_ref())?;
    let config = Arc::new(config);
    let tls = crate::api::server::tls_of(&config.listen)?;
    let api = Api { engine: engine.clone(), fleet: fleet.clone(), identity, hooks, config };

    let tasks = TaskTracker::new();
    run_in_background(&api, &tasks, &stop);
    let agents = tasks.spawn(fleet::link::serve(fleet, agents, stop.clone()));
    // Agents first: the scripts of the start run on one of them.
    startup::fire(&engine, HookPoint::OnCroitStartup, reason, &stop).await;
    tasks.spawn({
        let (engine, stop) = (engine.clone(), stop.clone());
        async move { startup::fire(&engine, HookPoint::OnCroitAsyncStartup, reason, &stop).await }
    });
    let mut listeners = vec![agents];
    if let Some(listener) = maintenance {
        let (api, tls) = (api.clone(), tls.clone());
        listeners.push(tasks.spawn(crate::api::server::serve_maintenance(api, listener, tls, stop.clone())));
    }
    listeners.push(tasks.spawn(crate::api::server::serve(api, rest, tls, stop.clone())));
    tasks.close();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "manager started");
    let service = Service::ready();

    serve(listeners, &tasks, service, &stop).await
}

/// Starts what goes on beside the listeners.
fn run_in_background(api: &Api, tasks: &TaskTracker, stop: &CancellationToken) {
    let engine = || (api.engine.clone(), stop.clone());
    let (timers, stopped) = engine();
    tasks.spawn(async move { timers.run_timers(stopped).await });
    let (retention, stopped) = engine();
    tasks.spawn(async move { retention.run_retention(stopped).await });
    let (refreshes, stopped) = engine();
    tasks.spawn(async move { refreshes.run_refreshes(stopped).await });
    let (moves, stopped) = engine();
    tasks.spawn(async move { moves.run_moves(stopped).await });
    let downloads = Downloads::new(api.engine.clone(), &api.config);
    let stopped = stop.clone();
    tasks.spawn(async move { downloads.run(stopped).await });
    let gates = Gates::new(api.engine.clone(), &api.config);
    let stopped = stop.clone();
    tasks.spawn(async move { gates.run(stopped).await });
    let webhooks = Webhooks::new(api.engine.clone(), Arc::clone(api.hooks.vault()), &api.config);
    let stopped = stop.clone();
    tasks.spawn(async move { webhooks.run(stopped).await });
}

/// A listener; it ends with the reason where it does so by itself.
type Listener = JoinHandle<anyhow::Result<()>>;

/// Waits until a listener ends or everything is to, and stops the rest.
async fn serve(
    listeners: Vec<Listener>,
    tasks: &TaskTracker,
    service: Service,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut listeners: FuturesUnordered<Listener> = listeners.into_iter().collect();
    // A manager that serves only one side would look alive and be none.
    let failed = tokio::select! {
        // First: listeners that end because they were asked to have not failed.
        biased;
        () = stop.cancelled() => None,
        done = listeners.next() => done,
    };
    stop.cancel();
    service.stopping();
    if tokio::time::timeout(Duration::from_secs(15), tasks.wait()).await.is_err() {
        tracing::warn!("not everything stopped in time");
    }
    drop(service);
    if let Some(done) = failed {
        done.context("a listener panicked")??;
        anyhow::bail!("a listener ended by itself");
    }
    while let Some(done) = listeners.next().await {
        done.context("a listener panicked")??;
    }
    tracing::info!("manager stopped");
    Ok(())
}

/// Who certifies hosts: the built-in authority is not even made where the operator has a PKI.
fn authority(config: &Config) -> anyhow::Result<Authority> {
    Ok(match &config.pki {
        Some(pki) => Authority::Operator(Arc::new(OperatorPki::open(pki.clone()).context("pki")?)),
        None => Arc::new(Ca::open(&config.state_dir, SystemClock.now()).context("the certificate authority")?).into(),
    })
}

async fn listen(key: &str, address: std::net::SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{key}: {address} cannot be listened on"))
}

/// Writes `listening.json`: where the sockets really are, for those who asked for any free port.
fn write_addresses(
    state_dir: &Path,
    rest: &TcpListener,
    agents: &TcpListener,
    maintenance: Option<&TcpListener>,
) -> anyhow::Result<()> {
    let mut content = json!({ "rest": rest.local_addr()?.to_string(), "agents": agents.local_addr()?.to_string() });
    if let Some(maintenance) = maintenance {
        content["maintenance"] = maintenance.local_addr()?.to_string().into();
    }
    let content = content.to_string();
    let (partial, path) = (state_dir.join("listening.json.new"), state_dir.join("listening.json"));
    std::fs::write(&partial, content)?;
    std::fs::rename(&partial, &path)?;
    Ok(())
}
