mod any_order;
mod conversation;
mod creation;
mod failure;
mod rules;
mod spec9;
mod updates;
mod world;
