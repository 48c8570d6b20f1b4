//! The few shared words on which the rule of order and the sleep of the workers hang: does a worker sleep, who publishes,
//! what is published.
//!
//! Each is used together with mailboxes, so each is about two words at once, and two of the three are pairs of a store and a
//! load on both sides (I write mine, then read yours), where a fence must keep the load behind the store. The tests run
//! these very lines through all interleavings and all that the memory model allows, hence the type parameter; a server
//! uses the processor's own words and knows nothing of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

/// Shared words: the processor's, or those of a model checker.
pub trait Words {
    type Flag: Flag;
    type Number: Number;
    /// Keeps all that stands before it before all that stands behind it, for everybody.
    fn fence();
}

pub trait Flag {
    fn new() -> Self;
    fn load(&self, order: Ordering) -> bool;
    fn store(&self, value: bool, order: Ordering);
    fn swap(&self, value: bool, order: Ordering) -> bool;
    /// Sets it if it is not set; whether it was this call that did.
    fn set(&self, order: Ordering) -> bool;
}

pub trait Number {
    fn new() -> Self;
    fn load(&self, order: Ordering) -> u64;
    fn store(&self, value: u64, order: Ordering);
}

macro_rules! words {
    ($words:ident, $flag:ty, $number:ty, $fence:expr) => {
        impl Words for $words {
            type Flag = $flag;
            type Number = $number;
            #[inline]
            fn fence() {
                $fence
            }
        }

        impl Flag for $flag {
            fn new() -> Self {
                <$flag>::new(false)
            }
            #[inline]
            fn load(&self, order: Ordering) -> bool {
                self.load(order)
            }
            #[inline]
            fn store(&self, value: bool, order: Ordering) {
                self.store(value, order);
            }
            #[inline]
            fn swap(&self, value: bool, order: Ordering) -> bool {
                self.swap(value, order)
            }
            #[inline]
            fn set(&self, order: Ordering) -> bool {
                self.compare_exchange(false, true, order, Ordering::Relaxed).is_ok()
            }
        }

        impl Number for $number {
            fn new() -> Self {
                <$number>::new(0)
            }
            #[inline]
            fn load(&self, order: Ordering) -> u64 {
                self.load(order)
            }
            #[inline]
            fn store(&self, value: u64, order: Ordering) {
                self.store(value, order);
            }
        }
    };
}

/// The processor's.
pub struct Processor;
words!(Processor, AtomicBool, AtomicU64, fence(Ordering::SeqCst));

/// Whether a worker sleeps.
///
/// Sender: mail, fence, look whether it sleeps. Sleeper: say so, fence, look for mail. One of the two sees the other.
pub struct Sleep<W: Words = Processor>(W::Flag);

impl<W: Words> Default for Sleep<W> {
    fn default() -> Self {
        Sleep(W::Flag::new())
    }
}

impl<W: Words> Sleep<W> {
    /// To be called before the worker looks for mail once more; it may sleep if there is none then.
    pub fn begins(&self) {
        self.0.store(true, Ordering::Relaxed);
        W::fence();
    }

    /// Whether it sleeps, for those who only want to know how many do.
    pub fn is_on(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub fn ends(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// To be called when there is mail for it. True: it sleeps, and this call is the one that has to wake it.
    pub fn must_be_ended(&self) -> bool {
        W::fence();
        self.0.load(Ordering::Relaxed) && self.0.swap(false, Ordering::Relaxed)
    }
}

/// Up to which turn all of a worker's mail lies in the mailboxes.
///
/// Who sees that a turn is published, and sends something then, sends it behind the mail of that turn.
pub struct Published<W: Words = Processor>(W::Number);

impl<W: Words> Default for Published<W> {
    fn default() -> Self {
        Published(W::Number::new())
    }
}

impl<W: Words> Published<W> {
    #[inline]
    pub fn turn(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// To be called after the last mail of the turn.
    pub fn set(&self, turn: u64) {
        self.0.store(turn, Ordering::Release);
    }
}

/// One worker at a time publishes to several mailboxes what has to be seen in one order.
///
/// Holder: lock, fence, mail, unlock. Others, who do not take it: mail, fence, look whether it is held. If it is not,
/// each holder's mail lies wholly behind what was sent before the look, or wholly before what is sent after it.
pub struct Turnstile<W: Words = Processor>(W::Flag);

impl<W: Words> Default for Turnstile<W> {
    fn default() -> Self {
        Turnstile(W::Flag::new())
    }
}

impl<W: Words> Turnstile<W> {
    /// Takes it if it is free. Never waits.
    pub fn lock(&self) -> bool {
        let taken = self.0.set(Ordering::Acquire);
        W::fence();
        taken
    }

    pub fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }

    pub fn is_locked(&self) -> bool {
        W::fence();
        self.0.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    //! A mailbox is a counter here that gives places: what gets the lower place is read first. Its operations are
    //! relaxed, the least that a queue can offer.

    use super::*;
    use loom::sync::atomic::AtomicU64 as Mailbox;
    use loom::sync::{Arc, Condvar, Mutex};
    use loom::thread;

    /// The model checker's words.
    struct Checked;
    words!(Checked, loom::sync::atomic::AtomicBool, loom::sync::atomic::AtomicU64, {
        loom::sync::atomic::fence(Ordering::SeqCst)
    });

    /// The same without fences, to prove that they are needed.
    struct Unfenced;
    impl Words for Unfenced {
        type Flag = loom::sync::atomic::AtomicBool;
        type Number = loom::sync::atomic::AtomicU64;
        fn fence() {}
    }

    fn place(mailbox: &Mailbox) -> u64 {
        mailbox.fetch_add(1, Ordering::Relaxed)
    }

    /// A worker that sleeps until mail is there, and someone who sends it. A sleep from which nobody wakes it is a
    /// deadlock, which the checker finds.
    fn sleep_and_wake<W: Words<Flag: Send + Sync + 'static> + 'static>() {
        loom::model(|| {
            let sleep = Arc::new(Sleep::<W>::default());
            let mail = Arc::new(Mailbox::new(0));
            let bell = Arc::new((Mutex::new(false), Condvar::new()));
            let sender = {
                let (sleep, mail, bell) = (sleep.clone(), mail.clone(), bell.clone());
                thread::spawn(move || {
                    place(&mail);
                    if sleep.must_be_ended() {
                        *bell.0.lock().unwrap() = true;
                        bell.1.notify_one();
                    }
                })
            };
            sleep.begins();
            if mail.load(Ordering::Relaxed) == 0 {
                let mut rung = bell.0.lock().unwrap();
                while !*rung {
                    rung = bell.1.wait(rung).unwrap();
                }
            }
            sleep.ends();
            sender.join().unwrap();
            assert_eq!(mail.load(Ordering::Relaxed), 1);
        });
    }

    #[test]
    fn no_worker_sleeps_while_mail_waits() {
        sleep_and_wake::<Checked>();
    }

    #[test]
    #[should_panic(expected = "deadlock")]
    fn without_fences_a_worker_may_sleep_while_mail_waits() {
        sleep_and_wake::<Unfenced>();
    }

    #[test]
    fn what_is_sent_after_a_published_turn_was_seen_stands_behind_its_mail() {
        loom::model(|| {
            let published = Arc::new(Published::<Checked>::default());
            let mailbox = Arc::new(Mailbox::new(0));
            let publisher = {
                let (published, mailbox) = (published.clone(), mailbox.clone());
                thread::spawn(move || {
                    let mine = place(&mailbox);
                    published.set(1);
                    mine
                })
            };
            let seen = published.turn() == 1;
            let after = place(&mailbox);
            let mine = publisher.join().unwrap();
            assert!(!seen || mine < after);
        });
    }

    /// Two workers publish to the same two mailboxes, one at a time; a third sees one order in both.
    #[test]
    fn turns_published_under_the_lock_stand_in_one_order_in_all_mailboxes() {
        loom::model(|| {
            let turnstile = Arc::new(Turnstile::<Checked>::default());
            let mailboxes = Arc::new((Mailbox::new(0), Mailbox::new(0)));
            let publish = |turnstile: Arc<Turnstile<Checked>>, mailboxes: Arc<(Mailbox, Mailbox)>| {
                turnstile.lock().then(|| {
                    let places = (place(&mailboxes.0), place(&mailboxes.1));
                    turnstile.unlock();
                    places
                })
            };
            let other = {
                let (turnstile, mailboxes) = (turnstile.clone(), mailboxes.clone());
                thread::spawn(move || publish(turnstile, mailboxes))
            };
            let here = publish(turnstile, mailboxes);
            let there = other.join().unwrap();
            assert!(here.is_some() || there.is_some());
            if let (Some(here), Some(there)) = (here, there) {
                assert_eq!(here.0 < there.0, here.1 < there.1);
            }
        });
    }

    /// One worker sends a pipeline in two turns, to the first and then to the second mailbox, without the lock, and looks
    /// at it between the two; another publishes to both under the lock. The second half must not be before, and the first
    /// half behind, the other's turn.
    fn settled<W: Words<Flag: Send + Sync + 'static> + 'static>(looks: bool) {
        loom::model(move || {
            let turnstile = Arc::new(Turnstile::<W>::default());
            let mailboxes = Arc::new((Mailbox::new(0), Mailbox::new(0)));
            let holder = {
                let (turnstile, mailboxes) = (turnstile.clone(), mailboxes.clone());
                thread::spawn(move || {
                    assert!(turnstile.lock());
                    let places = (place(&mailboxes.0), place(&mailboxes.1));
                    turnstile.unlock();
                    places
                })
            };
            let first = place(&mailboxes.0);
            let second = (!looks || !turnstile.is_locked()).then(|| place(&mailboxes.1));
            let others = holder.join().unwrap();
            assert!(second.is_none_or(|second| !(others.0 < first && second < others.1)), "seen without its beginning");
        });
    }

    #[test]
    fn a_pipeline_whose_first_half_is_settled_is_not_seen_without_it() {
        settled::<Checked>(true);
    }

    #[test]
    #[should_panic(expected = "seen without its beginning")]
    fn a_pipeline_whose_first_half_is_not_settled_may_be_seen_without_it() {
        settled::<Checked>(false);
    }

    #[test]
    #[should_panic(expected = "seen without its beginning")]
    fn without_fences_looking_at_the_lock_settles_nothing() {
        settled::<Unfenced>(true);
    }
}
