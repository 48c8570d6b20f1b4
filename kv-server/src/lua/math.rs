//! math.random and math.randomseed as Redis has them: the generator of POSIX's `lrand48` (48 bits, linear congruential), which goes
//! on from script to script.
//!
//! That of the first interpreter of the process begins as POSIX says, so that a server of one shard gives the numbers of Redis; that of
//! each further one begins elsewhere, so that what is drawn by chance on two threads is not the same.

use super::args::Call;
use mlua::{Lua, MultiValue, Table};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The generator's state.
#[derive(Clone)]
pub(super) struct Seed(Rc<Cell<u64>>);

/// What POSIX says of the state at the beginning, the low bits behind a seed, the factor and the summand.
const FIRST: u64 = 0x1234_abcd_330e;
const LOW: u64 = 0x330e;
const FACTOR: u64 = 0x5_deec_e66d;
const SUMMAND: u64 = 0xb;
const MASK: u64 = (1 << 48) - 1;

impl Default for Seed {
    fn default() -> Seed {
        static INTERPRETERS: AtomicU64 = AtomicU64::new(0);
        let number = INTERPRETERS.fetch_add(1, Relaxed);
        // An odd factor: all differ, and most bits do.
        Seed(Rc::new(Cell::new((FIRST ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) & MASK)))
    }
}

impl Seed {
    fn set(&self, seed: i32) {
        self.0.set(u64::from(seed as u32) << 16 | LOW);
    }

    /// 31 bits.
    fn next(&self) -> u32 {
        let next = self.0.get().wrapping_mul(FACTOR).wrapping_add(SUMMAND) & MASK;
        self.0.set(next);
        (next >> 17) as u32
    }
}

/// Puts both functions in the place of Lua's own.
pub(super) fn replace(lua: &Lua, seed: &Seed) -> mlua::Result<()> {
    let math: Table = lua.globals().get("math")?;
    let s = seed.clone();
    let random = lua.create_function(move |lua, args: MultiValue| {
        const MAX: u32 = i32::MAX as u32;
        let call = Call::new(lua, args);
        let part = f64::from(s.next() % MAX) / f64::from(MAX);
        let (from, to) = match call.count() {
            0 => return Ok(part),
            1 => (1, call.integer(0)? as i32),
            2 => (call.integer(0)? as i32, call.integer(1)? as i32),
            _ => return call.fail("wrong number of arguments"),
        };
        if from > to {
            return call.wrong(call.count() - 1, "interval is empty");
        }
        let span = f64::from(to.wrapping_sub(from).wrapping_add(1));
        Ok((part * span).floor() + f64::from(from))
    })?;
    let s = seed.clone();
    let randomseed = lua.create_function(move |lua, args: MultiValue| {
        s.set(Call::new(lua, args).integer(0)? as i32);
        Ok(())
    })?;
    math.raw_set("random", random)?;
    math.raw_set("randomseed", randomseed)
}
