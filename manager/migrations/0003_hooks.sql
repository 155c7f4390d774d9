insert into counter (name, value) values ('script', 0), ('script_revision', 0), ('hook', 0), ('audit', 0), ('api_token', 0);
insert into counter (name, value) select 'user', count(*) from identity_user;

-- `revision` is that of the newest row in `script_revision`.
create table script (
    id         bigint not null primary key,
    name       text not null unique,
    revision   bigint not null,
    created_at bigint not null
);

-- Never changed. `script_id` is null for scripts that were given verbatim, which belong to nothing.
create table script_revision (
    id        bigint not null primary key,
    script_id bigint references script (id) on delete cascade,
    name      text not null,
    revision  bigint not null,
    digest    text not null,
    signature text not null,
    size      bigint not null,
    author    text not null,
    at        bigint not null,
    contents  text not null,
    unique (script_id, revision)
);
create index script_revision_digest on script_revision (digest);

-- `revision` pins one of the script; null means the newest. `details` is the rest, as a JSON object.
create table hook (
    id         bigint not null primary key,
    script_id  bigint not null references script (id) on delete cascade,
    revision   bigint,
    point      text not null,
    all_hosts  bigint not null,
    enabled    bigint not null,
    position   bigint not null,
    details    text not null,
    created_at bigint not null,
    unique (script_id, point)
);
create index hook_point on hook (point);

create table hook_host (
    hook_id  bigint not null references hook (id) on delete cascade,
    host_id  text not null references host (id) on delete cascade,
    position bigint not null,
    primary key (hook_id, host_id)
);
create index hook_host_host on hook_host (host_id);

-- `sealed` is encrypted with the key file of the state directory.
create table secret (
    name       text not null primary key,
    sealed     text not null,
    created_at bigint not null,
    updated_at bigint not null,
    updated_by text not null
);

create table audit (
    id           bigint not null primary key,
    at           bigint not null,
    category     text not null,
    operation    text not null,
    username     text not null,
    ip           text,
    method       text not null,
    status       bigint not null,
    endpoint     text not null,
    query_params text not null,
    body         text,
    request_id   text not null,
    from_hook    bigint not null
);
create index audit_at on audit (at);

create table api_token (
    id         bigint not null primary key,
    name       text not null,
    hash       text not null unique,
    roles      text not null,
    for_hooks  bigint not null,
    expires_at bigint,
    created_at bigint not null,
    created_by text not null
);

-- The croit dialect knows users by small numbers, and tells those whose first password was never changed.
alter table identity_user add column number bigint;
alter table identity_user add column password_changed bigint not null default 0;
update identity_user set number = (
    select count(*) from identity_user before
    where before.created_at < identity_user.created_at
    or (before.created_at = identity_user.created_at and before.id <= identity_user.id)
);

create index task_started on task (started_at, id);
