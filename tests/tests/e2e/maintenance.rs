//! Sessions of maintenance over real hosts: the real manager, the real agents, by the HTTP dialect that clients speak
//! (spec/maintenance.md; the numbers in the names of tests are those of §9).

mod broken;
mod files;
mod plugins;
mod rack;
mod session;
mod small;
mod storage;
mod upgrade;
