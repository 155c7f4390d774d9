-- Times are microseconds since the epoch, identifiers and JSON documents are text, truth values are 0 and 1: one text for every engine.

create table counter (
    name  text not null primary key,
    value bigint not null
);
insert into counter (name, value) values ('event', 0), ('task', 0), ('host', 0), ('rule', 0), ('probe', 0);

create table host (
    id                     text not null primary key,
    number                 bigint not null unique,
    name                   text not null unique,
    description            text,
    roles                  text not null,
    labels                 text not null,
    zone                   text,
    node                   text not null,
    summary                text,
    system_uuid            text,
    system_serial          text,
    model                  text,
    agent_state            text not null,
    agent_version          text,
    agent_address          text,
    boot_id                text,
    certificate_serial     text,
    certificate_expires_at bigint,
    connected_at           bigint,
    last_seen_at           bigint,
    created_at             bigint not null
);
create index host_state on host (agent_state);

create table certificate (
    serial     text not null primary key,
    host_id    text not null references host (id) on delete cascade,
    issued_at  bigint not null,
    expires_at bigint not null,
    revoked_at bigint,
    reason     text
);
create index certificate_host on certificate (host_id);
create index certificate_expiry on certificate (expires_at);

create table join_token (
    id          text not null primary key,
    secret_hash text not null,
    description text,
    created_at  bigint not null,
    created_by  text not null,
    expires_at  bigint not null,
    uses        bigint not null,
    used        bigint not null,
    names       text not null,
    networks    text not null,
    roles       text not null,
    revoked_at  bigint
);

create table machine (
    id         text not null primary key,
    kind       text not null,
    subject    text not null,
    version    bigint not null,
    task       bigint,
    document   text not null,
    updated_at bigint not null,
    unique (kind, subject)
);
create index machine_subject on machine (subject);

create table timer (
    machine_id text not null references machine (id) on delete cascade,
    name       text not null,
    due_at     bigint not null,
    primary key (machine_id, name)
);
create index timer_due on timer (due_at);

create table job (
    id          text not null primary key,
    host_id     text not null references host (id) on delete cascade,
    machine_id  text not null references machine (id) on delete cascade,
    kind        text not null,
    spec        text not null,
    state       text not null,
    cancel      bigint not null,
    created_at  bigint not null,
    finished_at bigint,
    outcome     text
);
create index job_open on job (host_id, state);
create index job_machine on job (machine_id);
create index job_finished on job (finished_at);
create index job_live on job (host_id) where finished_at is null;

create table task (
    id                bigint not null primary key,
    kind              text not null,
    name              text not null,
    state             text not null,
    host_id           text,
    machine_id        text,
    started_by        text not null,
    started_at        bigint not null,
    finished_at       bigint,
    progress_complete bigint not null,
    progress_total    bigint not null,
    cancelled         bigint not null,
    output            text not null
);
create index task_state on task (state, id);
create index task_host on task (host_id, id);
create index task_finished on task (finished_at);

create table step (
    task    bigint not null,
    number  bigint not null,
    at      bigint not null,
    what    text not null,
    host_id text,
    outcome text not null,
    detail  text not null,
    primary key (task, number)
);

create table event (
    number  bigint not null primary key,
    at      bigint not null,
    kind    text not null,
    subject text not null,
    actor   text,
    data    text not null
);

create index event_at on event (at);

create table introspection (
    host_id     text not null primary key references host (id) on delete cascade,
    state       text not null,
    started_at  bigint not null,
    finished_at bigint,
    error       text
);
create index introspection_order on introspection (started_at, host_id);
create index introspection_state on introspection (state, started_at);

create table introspection_data (
    host_id   text not null references host (id) on delete cascade,
    kind      text not null,
    document  text not null,
    etag      text not null,
    stored_at bigint not null,
    primary key (host_id, kind)
);

create table inventory (
    id           text not null primary key,
    host_id      text not null references host (id) on delete cascade,
    collected_at bigint not null,
    hash         text not null,
    size         bigint not null,
    sections     text not null,
    processed    text not null,
    unprocessed  text not null
);
create index inventory_host on inventory (host_id, collected_at);

-- What an inventory says that the one before did not; `inventory_id` is that of the newer one, which may be gone.
create table inventory_change (
    inventory_id text not null primary key,
    host_id      text not null references host (id) on delete cascade,
    at           bigint not null,
    severity     text not null,
    changes      text not null
);
create index inventory_change_host on inventory_change (host_id, inventory_id);
create index inventory_change_at on inventory_change (at);

-- When the facts of each section last arrived.
create table section (
    host_id      text not null references host (id) on delete cascade,
    name         text not null,
    collected_at bigint not null,
    ttl_s        bigint not null,
    status       text not null,
    primary key (host_id, name)
);

-- What hosts of one kind are compared by.
create table fact (
    host_id text not null references host (id) on delete cascade,
    name    text not null,
    value   text not null,
    primary key (host_id, name)
);
create index fact_name on fact (name, value);

-- Data that are of another machine than the host was, until somebody decides.
create table held_data (
    host_id  text not null primary key references host (id) on delete cascade,
    known    text not null,
    found    text not null,
    document text not null,
    held_at  bigint not null
);

create table rule (
    id         text not null primary key,
    position   bigint not null unique,
    document   text not null,
    created_at bigint not null
);

-- `id` is a hash of the caller and of the key that the caller chose.
create table idempotency_key (
    id      text not null primary key,
    request text not null,
    outcome text not null,
    at      bigint not null
);
create index idempotency_key_at on idempotency_key (at);

create table identity_project (
    id          text not null primary key,
    name        text not null unique,
    description text not null,
    enabled     bigint not null,
    created_at  bigint not null
);

create table identity_user (
    id            text not null primary key,
    name          text not null unique,
    description   text not null,
    email         text,
    password_hash text,
    enabled       bigint not null,
    project_id    text,
    created_at    bigint not null
);

-- `scope` is a project's id, or `system`.
create table identity_grant (
    user_id text not null references identity_user (id) on delete cascade,
    scope   text not null,
    role    text not null,
    primary key (user_id, scope, role)
);

create table identity_credential (
    id           text not null primary key,
    user_id      text not null references identity_user (id) on delete cascade,
    project_id   text not null references identity_project (id) on delete cascade,
    name         text not null,
    description  text not null,
    secret_hash  text not null,
    roles        text not null,
    unrestricted bigint not null,
    expires_at   bigint,
    created_at   bigint not null,
    unique (user_id, name)
);

-- `scope` is a project's id, `system`, or empty for none; `audit_parent` is the audit id of the first token of a chain.
create table identity_token (
    hash          text not null primary key,
    audit_id      text not null,
    audit_parent  text,
    user_id       text not null references identity_user (id) on delete cascade,
    scope         text not null,
    methods       text not null,
    credential_id text references identity_credential (id) on delete cascade,
    issued_at     bigint not null,
    expires_at    bigint not null
);
create index identity_token_expiry on identity_token (expires_at);
create index identity_token_user on identity_token (user_id, issued_at);
