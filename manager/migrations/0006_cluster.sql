-- Ceph clusters: who reaches them, and who watches each (spec/hooks.md §7.5).

-- What the agent of a host said when it connected.
create table reach (
    host_id  text not null primary key references host (id) on delete cascade,
    fsid     text,
    degraded bigint not null
);
create index reach_fsid on reach (fsid);

create table watcher (
    fsid    text not null primary key,
    host_id text not null references host (id) on delete cascade
);
create index watcher_host on watcher (host_id);
