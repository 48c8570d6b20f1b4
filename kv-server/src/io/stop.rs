//! The end of the server: what the threads tell each other about it.
//!
//! ```text
//! Running --- SHUTDOWN, a signal --> Draining     no bytes are read, no request begins; every worker answers what it has
//!                                        |         all are drained: the keeper keeps everything, while workers go on turning
//! Running <-- not everything is kept ----+---- Ending    what was held back is sent; all threads end
//! ```
//!
//! The main thread steps from one to the next: [`Ending`].

use super::Shared;
use super::machine::log;
use crate::engine::durability::{End, Link, ToKeeper};
use crate::engine::host::ShutDown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Running,
    Draining,
    Ending {
        /// What waits to become durable will.
        all_is_kept: bool,
    },
}

pub struct Stop {
    stage: AtomicU8,
    /// Counts how often the server was asked to end and could not refuse at once.
    attempt: AtomicU64,
    /// Workers that have nothing left to answer.
    drained: AtomicUsize,
    asked: Mutex<Option<ShutDown>>,
    /// Wakes the main thread.
    main: mio::Waker,
}

const STAGES: [Stage; 4] =
    [Stage::Running, Stage::Draining, Stage::Ending { all_is_kept: false }, Stage::Ending { all_is_kept: true }];

impl Stop {
    pub fn new(main: mio::Waker) -> Stop {
        Stop {
            stage: AtomicU8::new(0),
            attempt: AtomicU64::new(0),
            drained: AtomicUsize::new(0),
            asked: Mutex::new(None),
            main,
        }
    }

    pub fn stage(&self) -> Stage {
        STAGES[usize::from(self.stage.load(Ordering::SeqCst))]
    }

    /// Only the main thread, which wakes the workers after.
    pub fn set_stage(&self, stage: Stage) {
        if stage == Stage::Draining {
            self.drained.store(0, Ordering::SeqCst);
            self.attempt.fetch_add(1, Ordering::SeqCst);
        }
        let place = STAGES.iter().position(|known| *known == stage).expect("all are there");
        self.stage.store(place as u8, Ordering::SeqCst);
    }

    pub fn attempt(&self) -> u64 {
        self.attempt.load(Ordering::SeqCst)
    }

    /// Asks the server to end.
    pub fn ask(&self, how: ShutDown) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Some(how);
        self.wake_main();
    }

    pub fn take_asked(&self) -> Option<ShutDown> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// A worker has nothing left to answer; it says so once in each attempt.
    pub fn one_is_drained(&self) {
        self.drained.fetch_add(1, Ordering::SeqCst);
        self.wake_main();
    }

    pub fn drained(&self) -> usize {
        self.drained.load(Ordering::SeqCst)
    }

    /// Something has happened that the main thread waits for.
    pub fn wake_main(&self) {
        // The only failure is a full counter, and then it is awake.
        let _ = self.main.wake();
    }
}

/// The steps to the end, as the main thread takes them.
pub struct Ending {
    shared: Arc<Shared>,
    link: Link,
    way: Way,
}

enum Way {
    None,
    /// Workers answer what they have.
    Draining(ShutDown),
    /// The keeper keeps everything.
    Keeping(ShutDown),
}

impl Ending {
    pub fn new(shared: Arc<Shared>, link: Link) -> Ending {
        Ending { shared, link, way: Way::None }
    }

    pub fn is_under_way(&self) -> bool {
        !matches!(self.way, Way::None)
    }

    /// A signal asks the server to end. The second one does not ask: who waits for a disk that does not answer wants that.
    pub fn signal(&mut self, signal: i32) {
        if self.is_under_way() {
            log("another signal: the process ends at once, and what is not on disk yet is lost");
            std::process::exit(1);
        }
        log(&format!("signal {signal} asks the server to end"));
        self.shared.stop.ask(ShutDown::default());
    }

    /// Takes the steps that can be taken; true at the end.
    pub fn step(&mut self) -> bool {
        let stop = &self.shared.stop;
        if let Stage::Ending { .. } = stop.stage() {
            return true;
        }
        if let (Way::None, Some(how)) = (&self.way, stop.take_asked()) {
            if self.link.status().load.is_active() {
                // Everything that there is, is on disk.
                return self.end(true);
            }
            self.shared.net.scripts.server_ends(how.save == Some(false) || how.force);
            self.go_to(Stage::Draining);
            self.way = Way::Draining(how);
        }
        let stop = &self.shared.stop;
        if let Way::Draining(how) = self.way
            && stop.drained() == self.shared.net.workers()
        {
            let save = how.save.unwrap_or(self.shared.saves_by_itself());
            if save {
                log("the data is saved before the end");
            }
            // An earlier attempt may have failed.
            self.link.status().set_end(End::Open);
            self.link.tell(ToKeeper::Stop { save });
            self.way = Way::Keeping(how);
        }
        let Way::Keeping(how) = self.way else { return false };
        match self.link.status().end() {
            End::Open => false,
            End::Kept => self.end(true),
            End::Failed(why) if how.force => {
                log(&format!("the server ends although not everything could be kept: {why}"));
                self.end(false)
            }
            End::Failed(why) => {
                log(&format!("the server does not end, since not everything could be kept: {why}"));
                self.go_to(Stage::Running);
                self.way = Way::None;
                false
            }
        }
    }

    fn end(&mut self, all_is_kept: bool) -> bool {
        self.go_to(Stage::Ending { all_is_kept });
        true
    }

    fn go_to(&self, stage: Stage) {
        self.shared.stop.set_stage(stage);
        self.shared.wake_workers();
    }
}
