-- Maintenance (spec/maintenance.md §6.2): sessions, what they have to do with, and what owners of instances ask for.
insert into counter (name, value) values ('maintenance_session', 0), ('maintenance_step', 0);

create table maintenance_session (
    id             text   not null primary key,
    number         bigint not null unique,
    state          text   not null check (state in ('MAINTENANCE', 'SCALE_IN', 'PREPARE_MAINTENANCE', 'START_MAINTENANCE',
        'PLANNED_MAINTENANCE', 'MAINTENANCE_COMPLETE', 'MAINTENANCE_DONE', 'MAINTENANCE_FAILED')),
    prev_state     text,
    paused         bigint not null,
    percent        bigint not null,
    maintenance_at bigint not null,
    workflow       text   not null,
    name           text,
    spec           text   not null,
    created_by     text   not null,
    created_at     bigint not null,
    -- When the state last changed.
    entered_at     bigint not null,
    deleted_at     bigint
);
create index maintenance_session_state on maintenance_session (state, number);
create index maintenance_session_deleted on maintenance_session (deleted_at) where deleted_at is not null;

create table maintenance_host (
    session_id      text   not null references maintenance_session (id) on delete cascade,
    -- Not a reference: what was done to a host is still to be read when the host is gone.
    host_id         text   not null,
    name            text   not null,
    roles           text   not null,
    order_no        bigint,
    domain          text,
    phase           text   not null,
    maintained      bigint not null,
    disabled        bigint not null,
    disabled_before text,
    reason          text,
    plugin          text,
    plugin_state    text,
    started_at      bigint,
    finished_at     bigint,
    attempts        bigint not null,
    primary key (session_id, host_id)
);
create index maintenance_host_host on maintenance_host (host_id, session_id);

create table maintenance_project (
    session_id text   not null references maintenance_session (id) on delete cascade,
    project_id text   not null,
    state      text,
    reply_at   bigint,
    subscribed bigint not null,
    primary key (session_id, project_id)
);
create index maintenance_project_project on maintenance_project (project_id, session_id);

create table maintenance_instance (
    session_id    text   not null references maintenance_session (id) on delete cascade,
    instance_id   text   not null,
    name          text   not null,
    project_id    text   not null,
    host_id       text   not null,
    state         text   not null,
    project_state text,
    action        text,
    action_done   bigint not null,
    details       text,
    impacted_from bigint,
    recovered_at  bigint,
    primary key (session_id, instance_id)
);
create index maintenance_instance_impacted on maintenance_instance (instance_id) where impacted_from is not null;
create index maintenance_instance_project on maintenance_instance (project_id, session_id);

create table maintenance_step (
    number      bigint not null primary key,
    session_id  text   not null references maintenance_session (id) on delete cascade,
    step_key    text   not null,
    host_id     text,
    instance_id text,
    kind        text   not null,
    name        text   not null,
    attempt     bigint not null,
    state       text   not null,
    started_at  bigint not null,
    finished_at bigint,
    job_id      text,
    actor       text,
    input       text   not null,
    result      text   not null,
    error       text,
    unique (session_id, step_key)
);
create index maintenance_step_session on maintenance_step (session_id, number);
create index maintenance_step_host on maintenance_step (session_id, host_id, number);

-- Files of sessions: those that were begun.
create table maintenance_download (
    session_id text   not null references maintenance_session (id) on delete cascade,
    -- Its place in what the session asks for, counted from 0.
    place      bigint not null,
    state      text   not null check (state in ('FETCHING', 'VERIFIED', 'FAILED')),
    sha256     text,
    size       bigint,
    reason     text,
    attempts   bigint not null,
    since      bigint not null,
    primary key (session_id, place)
);
create index maintenance_download_sha256 on maintenance_download (sha256);

-- The only truth about which session a host is in.
create table host_lock (
    host_id    text   not null primary key references host (id) on delete cascade,
    session_id text   not null references maintenance_session (id) on delete cascade,
    since      bigint not null
);
create index host_lock_session on host_lock (session_id);

-- Whose turn it is to stop daemons of a Ceph cluster.
create table storage_lock (
    fsid       text   not null primary key,
    session_id text   not null references maintenance_session (id) on delete cascade,
    host_id    text   not null,
    since      bigint not null
);

-- Whether instances may be scheduled on a host; one without a row is in service.
create table host_service (
    host_id         text   not null primary key references host (id) on delete cascade,
    disabled_reason text,
    since           bigint not null
);

create table instance_constraint (
    instance_id           text   not null primary key,
    project_id            text   not null,
    group_id              text,
    instance_name         text,
    max_interruption_time bigint not null,
    migration_type        text   not null,
    resource_mitigation   bigint not null,
    lead_time             bigint not null,
    updated_at            bigint not null
);
create index instance_constraint_project on instance_constraint (project_id, instance_id);
create index instance_constraint_group on instance_constraint (group_id);

create table instance_group (
    group_id               text   not null primary key,
    project_id             text   not null,
    group_name             text,
    anti_affinity_group    bigint not null,
    max_instances_per_host bigint not null,
    max_impacted_members   bigint not null,
    recovery_time          bigint not null,
    resource_mitigation    bigint not null,
    updated_at             bigint not null
);
create index instance_group_project on instance_group (project_id, group_id);

-- Plug-ins of the operators. Not a reference to the script: a plug-in whose script is gone says so when it is to run.
create table maintenance_plugin (
    name       text   not null primary key,
    script_id  bigint not null,
    manifest   text   not null,
    updated_at bigint not null
);

-- Who listens for a project: in one session or in all, without an end or until then.
create table project_listener (
    project_id text   not null,
    listener   text   not null,
    session_id text,
    until      bigint,
    primary key (project_id, listener)
);

-- Moves that the compute side was, or is to be, ordered to make: each is one order, by its id.
create table move_order (
    id         text   not null primary key,
    move_id    text   not null,
    session_id text   not null,
    document   text   not null,
    -- 'ordered', 'begun', 'ended'.
    state      text   not null check (state in ('ordered', 'begun', 'ended')),
    abort      bigint not null,
    created_at bigint not null
);
create index move_order_open on move_order (created_at) where state <> 'ended';
create index move_order_session on move_order (session_id);

-- URLs that stays wait for, and what they answered last.
create table maintenance_url (
    url         text   not null primary key,
    wanted_at   bigint not null,
    answered_at bigint,
    status      bigint,
    error       text
);
