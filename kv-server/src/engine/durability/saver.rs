//! The saver: writes the files of a snapshot.
//!
//! A state machine without thread: [`Saver::handle`] takes a message and returns when its pieces are written. Serialising big
//! values, compressing and syncing happen in here, far from those who serve clients.
//!
//! A file is synced now and then while it is written: at the end there is little left to sync, and the log, which waits for
//! the same disk, never waits long. Names are made safe by the keeper, before the manifest names them.

use super::{Disk, DiskFile, Queued, Status, ToKeeper, ToSaver};
use crate::engine::Net;
use crossbeam_channel::Sender;
use kv_core::persist::manifest::base_name;
use kv_core::persist::snapshot::{Codec, Header, Writer};
use kv_core::store::Piece;
use std::io;
use std::sync::Arc;

/// So many bytes of a file are written between two syncs.
const SYNC_EVERY_BYTES: usize = 16 << 20;

/// What a saver is made of.
pub struct SaverSetup {
    pub disk: Arc<dyn Disk>,
    pub net: Arc<Net>,
    pub status: Arc<Status>,
    pub keeper: Sender<ToKeeper>,
}

pub struct Saver {
    setup: SaverSetup,
    job: Option<Job>,
}

/// The snapshot that is being written.
struct Job {
    snapshot: u64,
    /// By shard; none when it is finished.
    files: Vec<Option<Output>>,
    bytes: Vec<u64>,
    keys: u64,
    unfinished: usize,
}

struct Output {
    writer: Writer,
    sink: Sink,
}

/// Where a writer's bytes go. After an error the rest is dropped.
struct Sink {
    file: Box<dyn DiskFile>,
    unsynced: usize,
    error: Option<io::Error>,
}

impl Sink {
    fn take(&mut self, bytes: Vec<u8>) {
        if self.error.is_none()
            && let Err(error) = self.write(&bytes)
        {
            self.error = Some(error);
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY_BYTES {
            self.sync()?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.unsynced = 0;
        self.file.sync()
    }
}

impl Saver {
    pub fn new(setup: SaverSetup) -> Saver {
        Saver { setup, job: None }
    }

    /// Takes a message and does what follows from it.
    pub fn handle(&mut self, message: ToSaver) {
        match message {
            ToSaver::Begin { snapshot, epoch, shards, now, compress } => {
                self.give_up();
                let codec = if compress { Codec::Lz4 } else { Codec::Plain };
                let header =
                    |shard| Header { number: snapshot, epoch, shard: shard as u32, shards: shards as u32, time: now };
                let files = (0..shards).map(|shard| begin(&*self.setup.disk, header(shard), codec).map(Some));
                match files.collect() {
                    Ok(files) => {
                        let (bytes, keys) = (vec![0; shards], 0);
                        self.job = Some(Job { snapshot, files, bytes, keys, unfinished: shards });
                    }
                    Err(error) => {
                        (0..shards).for_each(|shard| self.remove(snapshot, shard));
                        self.fail(snapshot, &error);
                    }
                }
            }
            ToSaver::Pieces { snapshot, shard, pieces, queued, is_last } => {
                let written = self.write(snapshot, shard, pieces, is_last);
                self.unqueue(queued);
                if let Err(error) = written {
                    self.give_up();
                    self.fail(snapshot, &error);
                }
            }
            ToSaver::Abort { snapshot } => {
                if self.job.as_ref().is_some_and(|job| job.snapshot == snapshot) {
                    self.give_up();
                }
            }
        }
    }

    fn write(&mut self, snapshot: u64, shard: usize, pieces: Vec<Piece>, is_last: bool) -> io::Result<()> {
        let Some(job) = self.job.as_mut().filter(|job| job.snapshot == snapshot) else { return Ok(()) };
        let output = job.files[shard].as_mut().expect("a shard says once that it is done, at the end");
        let status = &self.setup.status;
        let Output { writer, sink } = output;
        for piece in pieces {
            // A table may have a million keys: nobody waits for one that is not wanted any more.
            piece.write(writer, &mut |bytes| {
                if status.aborted() < snapshot {
                    sink.take(bytes);
                }
            });
            if let Some(error) = sink.error.take() {
                return Err(error);
            }
        }
        if !is_last {
            return Ok(());
        }
        let Output { writer, mut sink } = job.files[shard].take().expect("just seen");
        let written = writer.finish(&mut |bytes| sink.take(bytes));
        if let Some(error) = sink.error.take() {
            return Err(error);
        }
        sink.sync()?;
        job.bytes[shard] = written.bytes;
        job.keys += written.keys;
        job.unfinished -= 1;
        if job.unfinished == 0 {
            let Job { snapshot, bytes, keys, .. } = self.job.take().expect("just seen");
            self.tell(ToKeeper::Saved { snapshot, bytes, keys });
        }
        Ok(())
    }

    /// Drops what there is of a snapshot.
    fn give_up(&mut self) {
        let Some(job) = self.job.take() else { return };
        let (snapshot, shards) = (job.snapshot, job.files.len());
        drop(job);
        (0..shards).for_each(|shard| self.remove(snapshot, shard));
    }

    /// What cannot be removed is removed by the keeper some time later.
    fn remove(&self, snapshot: u64, shard: usize) {
        let _ = self.setup.disk.remove(&base_name(snapshot, shard));
    }

    fn fail(&self, snapshot: u64, error: &io::Error) {
        self.tell(ToKeeper::SaveFailed { snapshot, error: super::words_of(error) });
    }

    fn tell(&self, message: ToKeeper) {
        // Without a keeper there is nobody who waits for a snapshot.
        let _ = self.setup.keeper.send(message);
    }

    fn unqueue(&self, queued: Queued) {
        let SaverSetup { net, status, .. } = &self.setup;
        if status.unqueue(queued) {
            (0..net.workers()).for_each(|worker| net.wake(worker));
        }
    }
}

fn begin(disk: &dyn Disk, header: Header, codec: Codec) -> io::Result<Output> {
    let file = disk.create(&base_name(header.number, header.shard as usize))?;
    let mut sink = Sink { file, unsynced: 0, error: None };
    let writer = Writer::new(&header, codec, &mut |bytes| sink.take(bytes));
    match sink.error.take() {
        Some(error) => Err(error),
        None => Ok(Output { writer, sink }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Link;
    use super::super::testing::{Fails, NO_SPACE, TestDisk};
    use super::*;
    use crate::engine::Wake;
    use crossbeam_channel::Receiver;
    use kv_core::persist::snapshot::Reader;
    use kv_core::store::{Expire, KeyHasher, Shard, StrValue};
    use kv_core::types::Limits;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A worker that always sleeps, and counts who tries to wake it.
    struct Sleeper(Arc<AtomicUsize>);

    impl Wake for Sleeper {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    struct Bench {
        saver: Saver,
        disk: TestDisk,
        link: Link,
        inboxes: super::super::Inboxes,
        woken: Arc<AtomicUsize>,
    }

    impl Bench {
        fn new() -> Bench {
            let disk = TestDisk::new(1);
            let status = Arc::new(Status::default());
            let (link, inboxes) = Link::new(status.clone());
            let woken = Arc::new(AtomicUsize::new(0));
            let (net, _) = Net::new(vec![Box::new(Sleeper(woken.clone())) as Box<dyn Wake>], 1);
            net.falls_asleep(0);
            let saver =
                Saver::new(SaverSetup { disk: Arc::new(disk.clone()), net, status, keeper: link.keeper().clone() });
            Bench { saver, disk, link, inboxes, woken }
        }

        fn begin(&mut self, snapshot: u64, shards: usize) {
            self.saver.handle(ToSaver::Begin { snapshot, epoch: 9, shards, now: 100, compress: true });
        }

        /// Saves all of a shard.
        fn save(&mut self, snapshot: u64, shard: &mut Shard) {
            shard.begin_snapshot(100);
            assert!(shard.step_snapshot(usize::MAX));
            self.link.save(snapshot, shard.index, shard.take_pieces(), true);
            self.work();
        }

        fn work(&mut self) {
            let messages: Vec<ToSaver> = self.inboxes.saver.try_iter().collect();
            messages.into_iter().for_each(|message| self.saver.handle(message));
        }

        fn told(&self) -> Option<ToKeeper> {
            let inbox: &Receiver<ToKeeper> = &self.inboxes.keeper;
            inbox.try_recv().ok()
        }
    }

    fn shard(index: usize, keys: usize) -> Shard {
        let hasher = Arc::new(KeyHasher::new([5; 16]));
        let mut shard = Shard::new(index, 1, hasher.clone(), 1);
        for n in 0..keys {
            let name = format!("{index}:{n}");
            shard.dbs[0].set_string(hasher.key(name.as_bytes()), StrValue::Bytes(b"value"), Expire::Clear, 50);
        }
        shard
    }

    #[test]
    fn each_shard_has_a_file_that_is_on_the_disk_when_the_keeper_hears_of_it() {
        let mut bench = Bench::new();
        bench.begin(3, 2);
        bench.save(3, &mut shard(0, 5000));
        assert!(bench.told().is_none(), "a shard is missing");
        bench.save(3, &mut shard(1, 10));
        let Some(ToKeeper::Saved { snapshot: 3, bytes, keys: 5010 }) = bench.told() else { panic!("it is whole") };
        bench.disk.sync_folder().unwrap();
        let after = bench.disk.after_crash(&mut kv_core::structs::random::Random::new(1));
        for (shard, keys) in [(0, 5000), (1, 10)] {
            let file = after.bytes(&base_name(3, shard)).unwrap();
            assert_eq!(file.len() as u64, bytes[shard]);
            let mut reader = Reader::new(&file[..]).unwrap();
            let header = Header { number: 3, epoch: 9, shard: shard as u32, shards: 2, time: 100 };
            assert_eq!(reader.header(), &header);
            while reader.next_key(&Limits::default()).unwrap().is_some() {}
            assert_eq!(reader.keys(), keys);
        }
        assert_eq!(bench.link.status().queue_bytes(), 0);
    }

    #[test]
    fn a_disk_that_fails_is_told_once_and_leaves_nothing() {
        for after in 0..=8 {
            let mut bench = Bench::new();
            let fails = Fails { error: NO_SPACE, writes: true, syncs: true, names: false, after };
            bench.disk.fail(Some(fails));
            bench.begin(1, 2);
            bench.save(1, &mut shard(0, 10));
            bench.save(1, &mut shard(1, 10));
            match bench.told() {
                Some(ToKeeper::SaveFailed { snapshot: 1, error }) => {
                    assert_eq!(error, "No space left on device");
                    assert_eq!(bench.disk.names(), Vec::<String>::new(), "after {after} steps");
                }
                Some(ToKeeper::Saved { .. }) => assert_eq!(after, 8),
                _ => panic!("nothing was told after {after} steps"),
            }
            assert!(bench.told().is_none());
            assert_eq!(bench.link.status().queue_bytes(), 0);
            // The next one is none the worse for it.
            bench.disk.fail(None);
            bench.begin(2, 1);
            bench.save(2, &mut shard(0, 10));
            assert!(matches!(bench.told(), Some(ToKeeper::Saved { snapshot: 2, .. })));
        }
    }

    #[test]
    fn pieces_of_a_snapshot_that_was_given_up_are_dropped() {
        let mut bench = Bench::new();
        bench.begin(1, 1);
        bench.saver.handle(ToSaver::Abort { snapshot: 1 });
        assert_eq!(bench.disk.names(), Vec::<String>::new());
        bench.save(1, &mut shard(0, 10));
        assert!(bench.told().is_none());
        assert_eq!(bench.link.status().queue_bytes(), 0);
    }

    #[test]
    fn a_full_queue_stops_the_walk_and_workers_are_woken_when_it_drains() {
        let mut bench = Bench::new();
        bench.begin(1, 1);
        let piece = || vec![Piece::Records { bytes: Vec::with_capacity(1 << 20), keys: 0 }];
        for n in 0..80 {
            assert_eq!(bench.link.status().is_queue_full(), n >= 32, "{n} MiB");
            assert_eq!(bench.link.status().is_overfull(), n >= 64, "{n} MiB");
            bench.link.save(1, 0, piece(), false);
        }
        // Nobody waits for writes that are refused.
        bench.link.status().refuse_writes(Some("MISCONF".into()));
        assert!(!bench.link.status().is_overfull());
        bench.link.status().refuse_writes(None);
        let mut left = 80;
        let messages: Vec<ToSaver> = bench.inboxes.saver.try_iter().collect();
        for message in messages {
            let woken = bench.woken.swap(0, Ordering::Relaxed);
            assert_eq!(woken > 0, left == 63 || left == 31, "{left} MiB");
            bench.saver.setup.net.falls_asleep(0);
            bench.saver.handle(message);
            left -= 1;
        }
        assert_eq!(bench.link.status().queue_bytes(), 0);
    }
}
