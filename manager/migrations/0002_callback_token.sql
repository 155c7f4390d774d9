-- Who may deliver the data of a host to `POST /v1/continue`: at most one token per host, kept as its hash.
create table callback_token (
    host_id    text not null primary key references host (id) on delete cascade,
    hash       text not null unique,
    expires_at bigint not null
);
