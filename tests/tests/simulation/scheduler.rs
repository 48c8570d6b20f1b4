//! Whose turn it is, where workers and those who send go on by chance, one step at a time, and now and then one worker pauses.

use crate::pause::Pause;
use crate::world::World;
use kv_core::structs::random::Random;

pub struct Scheduler {
    clock: u64,
    /// With more steps than this the workers turn in circles.
    steps_max: u64,
    pause: Pause,
}

/// What has come of a step.
pub enum Next {
    /// Nobody has anything to do.
    Over,
    /// A worker has gone on.
    Worked,
    /// It is this one's turn to send.
    Sends(usize),
}

impl Scheduler {
    pub fn new(steps_max: u64) -> Scheduler {
        Scheduler { clock: 0, steps_max, pause: Pause::default() }
    }

    /// Steps so far.
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// One step. `senders`: who may send.
    ///
    /// Errors: it does not come to an end.
    pub fn next(&mut self, world: &mut World, random: &mut Random, senders: &[usize]) -> Result<Next, String> {
        self.clock += 1;
        if self.clock > self.steps_max {
            return Err("the workers turn in circles".into());
        }
        world.now_us += random.below(20);
        let mut workers: Vec<usize> = (0..world.workers()).filter(|&w| world.has_work(w)).collect();
        if workers.is_empty() && senders.is_empty() {
            return Ok(Next::Over);
        }
        self.pause.look(self.clock);
        if workers.len() > 1 || !senders.is_empty() {
            workers.retain(|&worker| !self.pause.is_of(worker));
        }
        let choice = random.index(workers.len() + senders.len());
        let Some(&worker) = workers.get(choice) else {
            return Ok(Next::Sends(senders[choice - workers.len()]));
        };
        let did = world.step(worker, random);
        self.pause.perhaps(worker, did.pauses_once_in(2, 40), 6, self.clock, random);
        Ok(Next::Worked)
    }
}
