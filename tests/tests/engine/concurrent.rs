//! Two managers give inputs to the same machines at the same time: the versions arbitrate, and nothing is lost.

use std::time::Duration;

use hostler_common::job::JobState;
use hostler_core::introspection::command::Command;
use hostler_core::introspection::state::State;
use hostler_manager::store::job::{job_counts, job_find};
use hostler_manager::store::machine::timer_next;
use hostler_manager::store::task::{TaskFilter, task_list};
use hostler_manager::store::{Error, Result};
use hostler_tests::both::Bed;
use hostler_tests::on_both;

use super::{Rig, give, report, start};

on_both!(
    no_decision_is_lost,
    one_of_two_starts_makes_the_run,
    the_first_machine_of_a_host_is_made_once,
    timers_fire_once,
    of_two_outcomes_one_counts,
    a_cancel_and_a_deadline_do_not_hinder_each_other,
    many_hosts_at_once,
);

const ROUNDS: usize = 100;

async fn no_decision_is_lost(bed: Bed) {
    let rig = Rig::new(bed).await;
    let (host, _) = rig.waiting_host(1).await;
    let before = rig.machine(host).await;
    let steps = rig.steps(before.task.unwrap()).await.len();
    for round in 0..ROUNDS {
        // While it waits, a reapply writes one line of history and nothing else.
        let again = || Command::Reapply { data: None };
        let (one, two) = tokio::join!(give(&rig.one, host, again()), give(&rig.two, host, again()));
        one.unwrap_or_else(|error| panic!("round {round}, one: {error:?}"));
        two.unwrap_or_else(|error| panic!("round {round}, two: {error:?}"));
    }
    let after = rig.machine(host).await;
    let decisions = 2 * ROUNDS;
    assert_eq!(after.version, before.version + i64::try_from(decisions).unwrap(), "one version for each decision");
    let history = rig.steps(after.task.unwrap()).await;
    assert_eq!(history.len(), steps + decisions);
    assert!(history[steps..].iter().all(|what| what == "reapply ignored"));
}

async fn one_of_two_starts_makes_the_run(bed: Bed) {
    let rig = Rig::new(bed).await;
    let host = rig.host(1).await;
    for round in 1..=20 {
        let (one, two) = tokio::join!(start(&rig.one, host), start(&rig.two, host));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.machine.run, two.machine.run), (round, round), "both are the same start");
        assert_eq!(one.task, two.task);
        // It waits too long and ends, so that the next start is one.
        rig.clock.advance(Duration::from_secs(3600));
        rig.one.run_due().await.unwrap();
        rig.clock.advance(Duration::from_secs(3600));
        rig.one.run_due().await.unwrap();
        assert_eq!(rig.machine(host).await.machine.state, State::Error);
    }
    let tasks = task_list(&mut rig.one.store.read().await.unwrap(), &TaskFilter::default(), 99).await.unwrap();
    assert_eq!(tasks.len(), 20);
    assert!(tasks.iter().all(|task| task.state.is_final()));
    assert_eq!(rig.events().await.iter().filter(|kind| *kind == "introspection.started").count(), 20);
}

async fn the_first_machine_of_a_host_is_made_once(bed: Bed) {
    let rig = Rig::new(bed).await;
    for n in 1..=20 {
        let host = rig.host(n).await;
        let (one, two) = tokio::join!(give(&rig.one, host, Command::Enrol), give(&rig.two, host, Command::Enrol));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_eq!((one.machine.run, two.machine.run), (1, 1));
        assert_eq!(one.task, two.task);
    }
}

async fn timers_fire_once(bed: Bed) {
    let rig = Rig::new(bed).await;
    let mut hosts = Vec::new();
    for n in 0..40 {
        let host = rig.host(n).await;
        start(&rig.one, host).await.unwrap();
        hosts.push(host);
    }
    let (one, two) = tokio::join!(rig.one.run_due(), rig.two.run_due());
    let (one, two) = (one.unwrap(), two.unwrap());
    // What is left are the deadlines.
    assert!(one.is_some() && one == two);
    let counts = job_counts(&mut rig.one.store.read().await.unwrap()).await.unwrap();
    assert_eq!(counts, [("queued".to_owned(), 40)]);
    for host in hosts {
        let machine = rig.machine(host).await;
        assert_eq!((machine.machine.state, machine.machine.attempts), (State::Waiting, 1));
        assert_eq!(rig.steps(machine.task.unwrap()).await, ["started", "probe ordered"]);
    }
}

async fn of_two_outcomes_one_counts(bed: Bed) {
    let rig = Rig::new(bed).await;
    for n in 0..30 {
        let (host, job) = rig.waiting_host(n).await;
        rig.one.job_update(host, report(&job, JobState::Running)).await.unwrap();
        let (one, two) = tokio::join!(
            rig.one.job_update(host, report(&job, JobState::Failed)),
            rig.two.job_update(host, report(&job, JobState::Succeeded)),
        );
        (one.unwrap(), two.unwrap());
        let kept = job_find(&mut rig.one.store.read().await.unwrap(), job.id).await.unwrap().unwrap().state;
        let state = rig.machine(host).await.machine.state;
        // The record of the job and the decision on it tell the same story.
        let told = matches!((kept, state), (JobState::Failed, State::Error) | (JobState::Succeeded, State::Processing));
        assert!(told, "round {n}: the job is {kept:?} and the run {state:?}");
    }
}

async fn a_cancel_and_a_deadline_do_not_hinder_each_other(bed: Bed) {
    let rig = Rig::new(bed).await;
    for n in 0..40 {
        let (host, _) = rig.waiting_host(n).await;
        let task = rig.machine(host).await.task.unwrap();
        rig.clock.advance(Duration::from_secs(3600));
        let (due, cancelled) = tokio::join!(rig.one.run_due(), rig.two.task_cancel(task, "tester"));
        due.unwrap_or_else(|error| panic!("round {n}: timers: {error:?}"));
        match cancelled {
            Ok(()) | Err(Error::Refused(..)) => {}
            Err(error) => panic!("round {n}: cancel: {error:?}"),
        }
        rig.two.run_due().await.unwrap();
        let machine = rig.machine(host).await;
        assert_eq!(machine.machine.state, State::Error, "round {n}");
        assert!(rig.task(task).await.state.is_final());
        assert!(timer_next(&mut rig.one.store.read().await.unwrap(), 9).await.unwrap().is_empty(), "round {n}");
    }
}

/// A whole run of many hosts, reported to either manager, with everything at once.
async fn many_hosts_at_once(bed: Bed) {
    let rig = Rig::new(bed).await;
    let mut hosts = Vec::new();
    for n in 0..30 {
        hosts.push(rig.host(n).await);
    }
    let runs = hosts.iter().enumerate().map(|(n, &host)| {
        let engines = [rig.one.clone(), rig.two.clone()];
        tokio::spawn(async move {
            let (near, far) = (&engines[n % 2], &engines[(n + 1) % 2]);
            start(near, host).await?;
            far.run_due().await?;
            let open = loop {
                let open = hostler_manager::store::job::job_open(&mut *near.store.read().await?, host).await?;
                if let Some(job) = open.into_iter().next() {
                    break job.spec;
                }
                far.run_due().await?;
            };
            for state in [JobState::Delivered, JobState::Running, JobState::Succeeded] {
                far.job_update(host, report(&open, state)).await?;
            }
            near.run_due().await?;
            Result::Ok(())
        })
    });
    for run in runs.collect::<Vec<_>>() {
        run.await.unwrap().unwrap();
    }
    rig.one.run_due().await.unwrap();
    for host in hosts {
        let machine = rig.machine(host).await;
        assert_eq!((machine.machine.state, machine.machine.run, machine.machine.attempts), (State::Finished, 1, 1));
        let steps = rig.steps(machine.task.unwrap()).await;
        assert_eq!(steps, ["started", "probe ordered", "data received", "finished"]);
    }
    let finished = rig.events().await.iter().filter(|kind| *kind == "introspection.finished").count();
    assert_eq!(finished, 30);
}
