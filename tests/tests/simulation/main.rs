//! The engine under a scheduler that a seed determines: every worker is the real one, everything around it is not.
//!
//! - [`world`]: workers, their turns cut into steps, connections without sockets, a clock that is moved.
//! - [`command`]: string commands, and what each must answer in a store without shards.
//! - [`history`]: what sessions asked and were answered, and the search for one order of it that explains every answer.
//! - [`small`]: few commands under hostile schedules, each history checked by the search.
//!
//! `KV_SIM_SEEDS` sets how many seeds are tried, `KV_SIM_FIRST` the first of them.

mod command;
mod history;
mod small;
mod world;
