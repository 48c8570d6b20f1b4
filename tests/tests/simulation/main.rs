//! The engine under a scheduler that a seed determines: every worker is the real one, everything around it is not.
//!
//! - [`world`]: workers, their turns cut into steps, connections without sockets, a clock that is moved; [`pause`]: who stands still.
//! - [`command`]: string commands, and what each must answer in a store without shards.
//! - [`history`]: what sessions asked and were answered, and the search for one order of it that explains every answer.
//! - [`small`]: few commands under hostile schedules, each history checked by the search.
//! - [`crowd`]: many sessions that come and go, checked by what must hold in any order.
//! - [`bank`]: transfers and looks of all kinds: the sum never changes.
//! - [`messages`]: publish and subscribe: who gets what, how often, in which order.
//! - [`monitor`]: what monitors are shown is an order that explains every answer.
//! - [`copies`]: client tracking: no copy that a client keeps stays wrong.
//! - [`expiry`]: keys vanish on time.
//! - [`durability`]: a disk that fails and machines that stop, each time with what must be left.
//!
//! `KV_SIM_SEEDS` sets how many seeds are tried, `KV_SIM_FIRST` the first of them; `KV_SIM_CROWDS` likewise how many crowds,
//! `KV_SIM_CRASHES` how many stories of crashes.

mod bank;
mod command;
mod copies;
mod crowd;
mod durability;
mod expiry;
mod history;
mod messages;
mod monitor;
mod outbox;
mod pause;
mod scheduler;
mod small;
mod world;

/// A number from the environment.
fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}
