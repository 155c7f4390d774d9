-- A script that was given verbatim is kept as long as a run names it.
alter table run add column digest text;
update run set digest = (select target_of.digest from script_revision target_of
    where run.spec like '%"digest":"' || target_of.digest || '"%' limit 1);
create index run_digest on run (digest);

-- Lists of many tasks, in the orders in which people want them.
create index task_name on task (name, id);
create index task_user on task (started_by, id);
create index task_kind on task (kind, id);
-- All that a search looks at: it reads this in place of rows with their results.
create index task_words on task (name, state, kind, started_by, object, host_id);
