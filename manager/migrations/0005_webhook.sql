-- Webhooks are machines; here is what their documents do not hold.

insert into counter (name, value) values ('webhook', 0);

-- Events that a webhook gave up.
create table webhook_dead_letter (
    webhook  bigint not null,
    event    bigint not null,
    at       bigint not null,
    attempts bigint not null,
    status   bigint,
    reason   text not null,
    primary key (webhook, event)
);
create index webhook_dead_letter_at on webhook_dead_letter (at);
