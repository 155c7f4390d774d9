-- Runs of scripts (spec/hooks.md §8-§10).

alter table task add column status_code bigint not null default 0;
alter table task add column result text;
alter table task add column object text;
alter table task add column question text;

create table run (
    task    bigint not null primary key,
    subject text not null unique,
    hook_id bigint,
    spec    text not null
);

-- A host of a run. Its name and number are kept with it: results outlive hosts. `marks` and `usage` are JSON.
create table target (
    task         bigint not null,
    position     bigint not null,
    host_id      text not null,
    host_number  bigint,
    host_name    text not null,
    job_id       text not null unique,
    state        text not null,
    begun_at     bigint,
    started_at   bigint,
    finished_at  bigint,
    exit_code    bigint,
    signal       bigint,
    error        text,
    output_bytes bigint not null,
    truncated    bigint not null,
    head         bytea,
    tail         bytea,
    marks        text,
    usage        text,
    primary key (task, position)
);
create index target_open on target (task) where state in ('delivering', 'running');
create index target_output on target (finished_at) where head is not null;

create index job_scripts on job (kind) where finished_at is null;

-- What agents reported, so that each report counts once.
create table host_report (
    host_id       text not null references host (id) on delete cascade,
    occurrence_id text not null,
    number        bigint not null,
    at            bigint not null,
    primary key (host_id, occurrence_id)
);
create index host_report_at on host_report (at);

-- What happened at hook points, so that each hook runs once for it.
create table occurrence (
    id      text not null primary key,
    point   text not null,
    host_id text,
    at      bigint not null
);
create index occurrence_at on occurrence (at);

-- When each hook may begin again on a host.
create table hook_pace (
    hook_id bigint not null,
    host_id text not null,
    next_at bigint not null,
    primary key (hook_id, host_id)
);
