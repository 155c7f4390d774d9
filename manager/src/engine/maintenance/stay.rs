//! What the engine must know of stays.

use futures::future::BoxFuture;
use hostler_common::id::{HostId, SessionId};
use hostler_core::machine::Input;
use hostler_core::maintenance::row::Write;
use hostler_core::maintenance::stay::{Facts, Stay};
use hostler_core::maintenance::word::ToStay;

use super::super::Turn;
use super::super::run::Domain;
use super::rows;
use crate::store::maintenance::{
    ceph_hosts, management, plugins_with_scripts, seat_find, storage_lock_find, url_answers, url_want,
};
use crate::store::{Connection, Error, Result, job, script};

/// A stay; the subject is the session and the host, and for an errand the type of its plug-ins, with dots between.
#[derive(Clone, Copy, Debug)]
pub struct StayDomain;

/// The session and the host that a stay is about.
fn about(subject: &str) -> Option<(SessionId, HostId)> {
    let mut parts = subject.split('.');
    let (session, host) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((session, host))
}

impl Domain for StayDomain {
    type Machine = Stay;

    fn fresh(subject: &str) -> Result<Stay> {
        let (session, host) =
            about(subject).ok_or_else(|| Error::Broken(format!("not the subject of a stay: {subject}")))?;
        Ok(Stay::new(session.0, host))
    }

    fn facts<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        stay: &'t Stay,
        _: &'t Input<ToStay>,
    ) -> BoxFuture<'t, Result<Facts>> {
        Box::pin(async move {
            let seat = seat_find(tx, stay.host).await?.unwrap_or_default();
            let mut facts = Facts {
                connected: seat.connected,
                boot_id: seat.boot_id,
                service: seat.disabled,
                plugins: plugins_with_scripts(tx).await?,
                ..Facts::default()
            };
            if let Some(id) = stay.job() {
                facts.job_state = job::job_find(tx, id).await?.map(|job| job.state);
            }
            if let Some(fsid) = stay.cluster() {
                let lock = storage_lock_find(tx, fsid).await?;
                facts.storage_lock = lock.map(|lock| (lock.fsid, lock.session.0, lock.host));
                facts.ceph_hosts = ceph_hosts(tx, fsid).await?;
            }
            probes(turn, tx, stay, &mut facts).await?;
            facts.urls = url_answers(tx, &stay.urls()).await?;
            Ok(facts)
        })
    }

    fn write<'t>(
        turn: &'t Turn,
        tx: &'t mut Connection,
        next: &'t Stay,
        writes: Vec<Write>,
    ) -> BoxFuture<'t, Result<()>> {
        Box::pin(async move {
            url_want(tx, &next.urls(), turn.now).await?;
            rows::write(turn, tx, SessionId(next.session), Some(next.host), writes).await
        })
    }
}

/// What is needed where gates ask scripts.
async fn probes(turn: &Turn, tx: &mut Connection, stay: &Stay, facts: &mut Facts) -> Result<()> {
    let names = stay.scripts();
    if names.is_empty() {
        return Ok(());
    }
    facts.management = management(tx, turn.settings.maintenance.manager.as_deref()).await?;
    for name in names {
        let Some(found) = script::script_by_name(tx, &name).await? else { continue };
        if let Some(revision) = script::revision_find(tx, found.id, found.revision).await? {
            facts.scripts.insert(name, revision.script);
        }
    }
    Ok(())
}
