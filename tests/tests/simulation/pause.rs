//! One who has no core for a while. One at a time: while several have none, nothing much happens.

use crate::world::Did;
use kv_core::structs::random::Random;

/// Steps of the shortest pause.
const SHORTEST: u64 = 8;

/// Who pauses, and until which step.
#[derive(Default)]
pub struct Pause(Option<(usize, u64)>);

impl Pause {
    /// Ends a pause that is over at this step.
    pub fn look(&mut self, clock: u64) {
        self.0 = self.0.filter(|&(_, until)| until > clock);
    }

    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub fn is_of(&self, who: usize) -> bool {
        self.0.is_some_and(|(paused, _)| paused == who)
    }

    /// Says whether there was one.
    pub fn end(&mut self) -> bool {
        self.0.take().is_some()
    }

    /// Behind a step of `who`: perhaps he pauses, once in so many times. `lengths`: how many there are, each twice the one before.
    pub fn perhaps(&mut self, who: usize, once_in: u64, lengths: u64, clock: u64, random: &mut Random) {
        if self.0.is_none() && random.one_in(once_in) {
            self.0 = Some((who, clock + (SHORTEST << random.below(lengths))));
        }
    }
}

impl Did {
    /// How seldom who did this pauses: often in the middle of publishing.
    pub fn pauses_once_in(self, half_published: u64, otherwise: u64) -> u64 {
        if self == Did::HalfPublished { half_published } else { otherwise }
    }
}
