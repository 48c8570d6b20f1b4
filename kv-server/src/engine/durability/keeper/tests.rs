use super::super::Question;
use super::super::testing::{Fails, INPUT_OUTPUT, NO_SPACE, TestDisk};
use super::*;
use crate::config::{SavePoint, SavePoints};
use crate::engine::Wake;
use crate::engine::mail::Dest;
use crate::engine::net::NeverAsleep;
use crossbeam_channel::{Receiver, unbounded};
use kv_core::persist::frame;
use kv_core::persist::manifest::{Segment, base_name, segment_name};
use kv_core::resp::Proto;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

const START: UnixMs = 1_700_000_000_000;

/// A keeper whose workers and saver are played by the test.
struct Bench {
    keeper: Keeper,
    disk: TestDisk,
    status: Arc<Status>,
    mailboxes: Vec<Receiver<Mail>>,
    saver: Receiver<ToSaver>,
    reports: Arc<Mutex<Vec<String>>>,
    now: UnixMs,
    shards: usize,
    /// The marker that no shard has passed yet.
    marker: Option<Marker>,
    dirty: Vec<u64>,
    answers: Vec<String>,
}

fn logged(fsync: Fsync) -> Config {
    Config { appendonly: true, appendfsync: fsync, save: SavePoints(Vec::new()), ..Config::default() }
}

impl Bench {
    fn new(config: Config) -> Bench {
        let loaded = Loaded { manifest: Manifest { hash_seed: [7; 16], base: None, segments: Vec::new() }, epoch: 0 };
        Bench::on(TestDisk::new(1), config, loaded)
    }

    fn on(disk: TestDisk, config: Config, loaded: Loaded) -> Bench {
        let shards = 2;
        let (net, mailboxes) = Net::new((0..shards).map(|_| Box::new(NeverAsleep) as Box<dyn Wake>).collect(), 1);
        let status = Arc::new(Status::default());
        let (to_saver, saver) = unbounded();
        let reports = Arc::new(Mutex::new(Vec::new()));
        let report = {
            let reports = reports.clone();
            Box::new(move |line: &str| reports.lock().unwrap().push(line.to_owned()))
        };
        let keeper = Keeper::new(KeeperSetup {
            disk: Arc::new(disk.clone()),
            net,
            status: status.clone(),
            saver: to_saver,
            config: Box::new(config),
            loaded,
            seed: 5,
            report,
            now: START,
        });
        let dirty = vec![0; shards];
        let (marker, answers) = (None, Vec::new());
        Bench { keeper, disk, status, mailboxes, saver, reports, now: START, shards, marker, dirty, answers }
    }

    fn tell(&mut self, message: ToKeeper) {
        self.keeper.handle(message, self.now);
    }

    fn work(&mut self) -> Option<UnixMs> {
        let next = self.keeper.work(self.now);
        for mailbox in &self.mailboxes {
            for mail in mailbox.try_iter() {
                match mail {
                    Mail::Mark(marker) => assert!(self.marker.replace(marker).is_none(), "one marker at a time"),
                    Mail::Late(late) => {
                        let text = String::from_utf8(late.reply.concat()).unwrap();
                        self.answers.push(text.trim_end().to_owned());
                    }
                    _ => unreachable!("a keeper sends nothing else"),
                }
            }
        }
        next
    }

    /// Time passes, and the keeper is called when it wants to be.
    fn pass(&mut self, ms: u64) {
        let until = self.now + ms;
        for _ in 0..100_000 {
            match self.work() {
                Some(next) if next <= until => self.now = self.now.max(next),
                _ => {
                    self.now = until;
                    self.work();
                    return;
                }
            }
        }
        panic!("the keeper wants to be called all the time");
    }

    /// All shards pass the marker, the first with these records.
    fn pass_marker(&mut self, records: &[u8]) -> Marker {
        let marker = self.marker.take().expect("a marker has been sent");
        for shard in 0..self.shards {
            let log = if shard == 0 { records.to_vec() } else { Vec::new() };
            let (epoch, dirty, now) = (marker.epoch, self.dirty[shard], self.now);
            self.tell(ToKeeper::Passed { epoch, shard, log, dirty, now });
        }
        marker
    }

    /// An epoch with these records, written as the options say.
    fn epoch(&mut self, records: &[u8]) -> u64 {
        self.tell(ToKeeper::Wanted);
        self.pass(MARK_EVERY_MS);
        let marker = self.pass_marker(records);
        self.work();
        marker.epoch
    }

    /// Writes that are counted, and not logged.
    fn change(&mut self, writes: u64) {
        self.dirty[0] += writes;
        let mut shard = kv_core::store::Shard::new(0, 1, Arc::new(kv_core::store::KeyHasher::new([0; 16])), 1);
        shard.dirty = self.dirty[0];
        self.keeper.net.stats(0).publish_shard(&shard);
        if self.status.take_change_awaited() {
            self.tell(ToKeeper::Changed);
        }
    }

    /// The saver says that the snapshot under way is whole.
    fn save(&mut self) -> u64 {
        let (snapshot, epoch) = self.snapshot();
        let bytes: Vec<u64> = (0..self.shards)
            .map(|shard| {
                self.disk.put(&base_name(snapshot, shard), b"base");
                4
            })
            .collect();
        self.tell(ToKeeper::Saved { snapshot, bytes, keys: 3 });
        self.work();
        epoch
    }

    /// What the saver was told to begin last.
    fn snapshot(&mut self) -> (u64, u64) {
        match self.saver.try_iter().last() {
            Some(ToSaver::Begin { snapshot, epoch, shards, .. }) => {
                assert_eq!(shards, self.shards);
                (snapshot, epoch)
            }
            _ => panic!("no snapshot has begun"),
        }
    }

    fn ask(&mut self, question: Question) -> Option<String> {
        let dest = Dest::Ticket { conn: 0, ticket: 0 };
        self.tell(ToKeeper::Ask { question, from: 1, dest, proto: Proto::Resp2 });
        self.work();
        self.answers.pop()
    }

    fn set(&mut self, change: impl FnOnce(&mut Config)) {
        let mut config = self.keeper.config.clone();
        change(&mut config);
        self.tell(ToKeeper::Options(config));
        self.work();
    }

    fn fail(&self, error: i32, writes: bool, syncs: bool) {
        self.disk.fail(Some(Fails { error, writes, syncs, names: false, after: 0 }));
    }

    fn kept(&self) -> Kept {
        Kept::read(&self.disk)
    }

    fn refusal(&self) -> Option<String> {
        self.status.refuses_writes().then(|| self.status.refusal())
    }
}

/// What somebody who starts now would find.
#[derive(Debug, Default, PartialEq, Eq)]
struct Kept {
    base: u64,
    /// The records of the first shard, epoch by epoch.
    epochs: Vec<(u64, String)>,
}

impl Kept {
    fn read(disk: &TestDisk) -> Kept {
        let Some(bytes) = disk.bytes(MANIFEST) else { return Kept::default() };
        let manifest = Manifest::from_bytes(&bytes).expect("a manifest is whole at any time");
        let mut kept = Kept { base: manifest.base.as_ref().map_or(0, |base| base.epoch), epochs: Vec::new() };
        if let Some(base) = &manifest.base {
            (0..base.bytes.len()).for_each(|shard| {
                assert!(disk.bytes(&base_name(base.number, shard)).is_some(), "the snapshot {base:?} is there");
            });
        }
        let mut last = kept.base;
        for (at, segment) in manifest.segments.iter().enumerate() {
            let bytes = disk.bytes(&segment_name(segment.number)).expect("a segment of the manifest is there");
            let mut scanner = frame::Scanner::new(&bytes[..]).expect("a segment of the manifest has its header");
            assert_eq!(scanner.header(), &frame::Header { id: segment.id, first_epoch: segment.first_epoch });
            let end = manifest.segments.get(at + 1).map_or(u64::MAX, |next| next.first_epoch);
            while let Some(frame) = scanner.next_frame().expect("no damage in front of what is safe") {
                if frame.epoch >= end {
                    break;
                }
                if frame.epoch <= kept.base {
                    continue;
                }
                assert!(frame.before <= last, "epoch {last} is followed by {frame:?}");
                last = frame.epoch;
                let records: Vec<_> = frame.sections().map(|section| section.records.to_vec()).collect();
                kept.epochs.push((frame.epoch, String::from_utf8(records.concat()).unwrap()));
            }
        }
        kept
    }

    fn records(&self) -> Vec<&str> {
        self.epochs.iter().map(|(_, records)| records.as_str()).collect()
    }
}

#[test]
fn with_always_an_epoch_is_durable_when_it_is_synced_and_not_before() {
    let mut bench = Bench::new(logged(Fsync::Always));
    bench.tell(ToKeeper::Wanted);
    bench.work();
    let marker = bench.pass_marker(b"one");
    assert_eq!(marker, Marker { epoch: 1, snapshot: None, log: true, hold: true });
    assert_eq!(bench.status.durable(), 0);
    let before = bench.disk.syncs();
    bench.work();
    assert_eq!(bench.status.durable(), 1);
    assert!(bench.disk.syncs() > before);
    assert_eq!(Kept::read(&bench.disk.after_crash(&mut Random::new(1))).records(), ["one"]);
    // A write more costs one sync.
    let before = bench.disk.syncs();
    bench.epoch(b"two");
    assert_eq!(bench.disk.syncs(), before + 1);
    assert_eq!(bench.kept().records(), ["one", "two"]);
}

#[test]
fn an_epoch_is_whole_when_the_last_shard_has_passed_its_marker() {
    let mut bench = Bench::new(logged(Fsync::Always));
    bench.tell(ToKeeper::Wanted);
    bench.work();
    let now = bench.now;
    bench.tell(ToKeeper::Passed { epoch: 1, shard: 1, log: b"b".to_vec(), dirty: 1, now });
    // Somebody logs behind the marker: the next one has to wait.
    bench.tell(ToKeeper::Wanted);
    bench.pass(50);
    assert_eq!(bench.status.durable(), 0);
    bench.tell(ToKeeper::Passed { epoch: 1, shard: 0, log: b"a".to_vec(), dirty: 1, now });
    bench.marker = None;
    bench.work();
    assert_eq!(bench.status.durable(), 1);
    assert_eq!(bench.kept().records(), ["ab"]);
    assert_eq!(bench.pass_marker(b"").epoch, 2);
}

#[test]
fn epochs_without_records_leave_nothing_in_the_log() {
    let mut bench = Bench::new(logged(Fsync::Always));
    bench.epoch(b"");
    assert_eq!(bench.status.durable(), 1);
    assert_eq!(bench.disk.names(), Vec::<String>::new());
    bench.epoch(b"two");
    bench.epoch(b"");
    bench.epoch(b"four");
    assert_eq!(bench.kept().epochs, [(2, "two".into()), (4, "four".into())]);
}

#[test]
fn with_everysec_there_is_one_sync_a_second_and_markers_have_a_distance() {
    let mut bench = Bench::new(logged(Fsync::EverySecond));
    bench.epoch(b"0");
    let (syncs, start) = (bench.disk.syncs(), bench.now);
    let mut epochs = 0;
    while bench.now < start + 3000 {
        bench.epoch(b".");
        epochs += 1;
    }
    assert_eq!(epochs, 3000 / MARK_EVERY_MS);
    assert_eq!(bench.disk.syncs(), syncs + 3);
    // Nothing more is written: the last of it is synced within the second, and then there is nothing to wait for.
    bench.pass(1000);
    assert_eq!(bench.disk.syncs(), syncs + 4);
    assert_eq!(bench.work(), None);
    let after = Kept::read(&bench.disk.after_crash(&mut Random::new(2)));
    assert_eq!(after.epochs.len() as u64, epochs + 1);
}

#[test]
fn with_no_nothing_but_new_files_is_synced() {
    let mut bench = Bench::new(logged(Fsync::No));
    bench.epoch(b"0");
    let syncs = bench.disk.syncs();
    for _ in 0..1000 {
        bench.epoch(b".");
    }
    bench.pass(5000);
    assert_eq!(bench.disk.syncs(), syncs);
    assert_eq!(bench.status.durable(), 1001, "nobody waits for more than the write");
    assert_eq!(bench.work(), None);
    // The next policy makes safe what is there.
    bench.set(|config| config.appendfsync = Fsync::EverySecond);
    assert_eq!(bench.disk.syncs(), syncs + 1);
}

#[test]
fn an_idle_keeper_sleeps() {
    for fsync in [Fsync::Always, Fsync::EverySecond, Fsync::No] {
        assert_eq!(Bench::new(logged(fsync)).work(), None);
    }
    assert_eq!(Bench::new(Config::default()).work(), None, "save points wait for a first write");
}

#[test]
fn a_write_that_fails_refuses_writes_and_is_written_again_into_a_new_segment() {
    for (error, words) in [(NO_SPACE, "No space left on device"), (INPUT_OUTPUT, "Input/output error")] {
        let mut bench = Bench::new(logged(Fsync::Always));
        bench.epoch(b"one");
        bench.fail(error, true, false);
        let epoch = bench.epoch(b"two");
        assert_eq!(bench.refusal(), Some(format!("MISCONF Errors writing to the AOF file: {words}")));
        assert_eq!(bench.status.durable(), epoch - 1);
        assert!(bench.status.figures().last_log_write_failed);
        bench.pass(10_000);
        assert_eq!(bench.status.durable(), epoch - 1);
        assert_eq!(bench.kept().records(), ["one"]);
        bench.disk.fail(None);
        bench.pass(1000);
        assert_eq!((bench.refusal(), bench.status.durable()), (None, epoch));
        bench.epoch(b"three");
        let after = Kept::read(&bench.disk.after_crash(&mut Random::new(3)));
        assert_eq!(after.records(), ["one", "two", "three"]);
        let reports = bench.reports.lock().unwrap();
        assert_eq!(reports.len(), 2, "told once, and when it is over: {reports:?}");
    }
}

#[test]
fn what_a_failed_sync_was_to_make_safe_is_written_to_another_file() {
    for seed in 0..50 {
        let mut bench = Bench::new(logged(Fsync::EverySecond));
        bench.epoch(b"one");
        bench.pass(1000);
        bench.epoch(b"two");
        bench.epoch(b"three");
        bench.fail(INPUT_OUTPUT, false, true);
        bench.pass(1000);
        assert!(bench.refusal().is_some());
        bench.disk.fail(None);
        bench.pass(1000);
        assert_eq!(bench.refusal(), None);
        bench.epoch(b"four");
        bench.pass(1000);
        let after = Kept::read(&bench.disk.after_crash(&mut Random::new(seed)));
        assert_eq!(after.records(), ["one", "two", "three", "four"], "seed {seed}");
    }
}

#[test]
fn with_no_what_was_written_before_a_failed_write_is_made_safe_or_saved_again() {
    let mut bench = Bench::new(logged(Fsync::No));
    bench.epoch(b"one");
    bench.disk.fail(Some(Fails { error: INPUT_OUTPUT, writes: true, syncs: true, names: false, after: 0 }));
    bench.epoch(b"two");
    bench.disk.fail(None);
    bench.pass(1000);
    // "one" may be lost, and is not in memory: only a snapshot helps.
    let marker = bench.pass_marker(b"three");
    assert!(marker.snapshot.is_some());
    bench.work();
    bench.set(|config| config.appendfsync = Fsync::Always);
    bench.pass_marker(b"");
    bench.pass(5000);
    assert!(bench.status.durable() < marker.epoch && bench.refusal().is_some());
    assert_eq!(bench.save(), marker.epoch);
    assert!(bench.status.durable() >= marker.epoch && bench.refusal().is_none());
    bench.epoch(b"four");
    assert_eq!(Kept::read(&bench.disk.after_crash(&mut Random::new(4))).records(), ["four"]);
}

#[test]
fn a_log_that_is_switched_off_while_a_part_of_it_may_be_missing_ends_in_front_of_that() {
    for seed in 0..20 {
        let mut bench = Bench::new(logged(Fsync::No));
        bench.epoch(b"one");
        bench.fail(INPUT_OUTPUT, true, true);
        bench.epoch(b"two");
        bench.disk.fail(None);
        bench.set(|config| config.appendonly = false);
        // A marker is on its way already, of the snapshot that is to help.
        assert!(bench.pass_marker(b"three").log);
        bench.work();
        assert!(!bench.pass_marker(b"four").log);
        bench.work();
        assert_eq!(bench.refusal(), None);
        let records = Kept::read(&bench.disk.after_crash(&mut Random::new(seed))).records().len();
        assert!(records <= 1, "seed {seed}: {records}");
    }
}

#[test]
fn a_snapshot_takes_the_place_of_the_log_before_it() {
    let mut bench = Bench::new(logged(Fsync::EverySecond));
    bench.epoch(b"one");
    bench.tell(ToKeeper::Wanted);
    assert_eq!(bench.ask(Question::BackgroundRewrite), None, "answered when it has begun");
    bench.pass(MARK_EVERY_MS);
    let marker = bench.pass_marker(b"two");
    assert!(marker.snapshot.is_some());
    bench.work();
    assert_eq!(bench.answers.pop().as_deref(), Some("+Background append only file rewriting started"));
    bench.epoch(b"three");
    assert_eq!(bench.kept().records(), ["one", "two", "three"], "until the snapshot is whole the old files count");
    let figures = bench.status.figures();
    assert!(figures.is_rewrite && !figures.is_save);
    assert_eq!(bench.save(), marker.epoch);
    assert_eq!(bench.kept(), Kept { base: marker.epoch, epochs: vec![(3, "three".into())] });
    bench.epoch(b"four");
    assert_eq!(bench.kept().records(), ["three", "four"]);
    let mut names = bench.disk.names();
    names.sort();
    assert_eq!(names, [base_name(1, 0), base_name(1, 1), segment_name(2), MANIFEST.into()], "the old ones are gone");
    let figures = bench.status.figures();
    assert_eq!((figures.rewrites, figures.saves, figures.base_bytes), (1, 0, 8));
    assert_eq!(figures.log_bytes, bench.disk.bytes(&segment_name(2)).unwrap().len() as u64);
}

#[test]
fn a_snapshot_with_nothing_logged_around_it_leaves_a_log_that_goes_on() {
    let mut bench = Bench::new(logged(Fsync::EverySecond));
    bench.epoch(b"one");
    bench.ask(Question::BackgroundSave { schedule: false });
    bench.pass_marker(b"");
    bench.save();
    assert_eq!(bench.kept(), Kept { base: 2, epochs: vec![] });
    bench.epoch(b"three");
    assert_eq!(bench.kept(), Kept { base: 2, epochs: vec![(3, "three".into())] });
    bench.pass(1000);
    assert_eq!(Kept::read(&bench.disk.after_crash(&mut Random::new(5))).records(), ["three"]);
}

#[test]
fn a_snapshot_that_fails_leaves_everything_as_it_was() {
    let mut bench = Bench::new(logged(Fsync::EverySecond));
    bench.epoch(b"one");
    bench.ask(Question::BackgroundSave { schedule: false });
    let marker = bench.pass_marker(b"two");
    bench.work();
    bench.epoch(b"three");
    let snapshot = marker.snapshot.unwrap();
    bench.tell(ToKeeper::SaveFailed { snapshot, error: "No space left on device".into() });
    bench.work();
    assert_eq!(bench.status.aborted(), snapshot, "the shards need not go on");
    assert!(bench.status.figures().last_save_failed);
    assert_eq!(bench.refusal(), None, "nobody has asked for save points");
    assert_eq!(bench.kept().records(), ["one", "two", "three"]);
    // Files of it that come too late are not taken.
    bench.tell(ToKeeper::Saved { snapshot, bytes: vec![4, 4], keys: 1 });
    bench.work();
    assert_eq!(bench.kept().base, 0);
    // A good one ends the trouble.
    bench.ask(Question::Save);
    bench.pass_marker(b"");
    bench.work();
    bench.save();
    assert_eq!(bench.answers.pop().as_deref(), Some("+OK"));
    assert!(!bench.status.figures().last_save_failed);
}

#[test]
fn failing_snapshots_refuse_writes_if_the_options_say_so() {
    let point = SavePoint { seconds: 3600, changes: 1 };
    let mut bench = Bench::new(Config { save: SavePoints(vec![point]), ..Config::default() });
    bench.ask(Question::BackgroundSave { schedule: false });
    let snapshot = bench.pass_marker(b"").snapshot.unwrap();
    bench.tell(ToKeeper::SaveFailed { snapshot, error: "No space left on device".into() });
    bench.work();
    assert!(
        bench.refusal().unwrap().starts_with("MISCONF Redis is configured to save RDB snapshots, but it's currently")
    );
    bench.set(|config| config.stop_writes_on_bgsave_error = false);
    assert_eq!(bench.refusal(), None);
    bench.set(|config| config.stop_writes_on_bgsave_error = true);
    assert!(bench.refusal().is_some());
    bench.ask(Question::BackgroundSave { schedule: false });
    bench.pass_marker(b"");
    bench.save();
    assert_eq!(bench.refusal(), None);
}

#[test]
fn questions_are_answered_in_the_words_of_redis() {
    let mut bench = Bench::new(Config { save: SavePoints(Vec::new()), ..Config::default() });
    let save = Question::BackgroundSave { schedule: false };
    let scheduled = Question::BackgroundSave { schedule: true };
    assert_eq!(bench.ask(save), None);
    assert_eq!(bench.ask(save).as_deref(), Some("-ERR Background save already in progress"));
    bench.pass_marker(b"");
    bench.work();
    assert_eq!(bench.answers.pop().as_deref(), Some("+Background saving started"));
    assert_eq!(bench.ask(scheduled).as_deref(), Some("-ERR Background save already in progress"));
    assert_eq!(bench.ask(Question::Save).as_deref(), Some("-ERR Background save already in progress"));
    let text = "+Background append only file rewriting scheduled";
    assert_eq!(bench.ask(Question::BackgroundRewrite).as_deref(), Some(text));
    bench.save();
    // The one that was scheduled begins at once.
    bench.pass_marker(b"");
    bench.work();
    let text = "-ERR Background append only file rewriting already in progress";
    assert_eq!(bench.ask(Question::BackgroundRewrite).as_deref(), Some(text));
    let text = "-ERR Another child process is active (AOF?): can't BGSAVE right now. Use BGSAVE SCHEDULE in order to \
                schedule a BGSAVE whenever possible.";
    assert_eq!(bench.ask(save).as_deref(), Some(text));
    assert_eq!(bench.ask(scheduled).as_deref(), Some("+Background saving scheduled"));
    assert_eq!(bench.ask(Question::Save), None, "it waits for the one under way, and for its own");
    bench.save();
    bench.pass_marker(b"");
    bench.work();
    bench.save();
    assert_eq!(bench.answers.pop().as_deref(), Some("+OK"));
    assert!(bench.marker.is_none() && bench.answers.is_empty());
}

#[test]
fn save_points_are_reached_by_changes_and_time() {
    let points = [(3600, 1), (300, 100), (60, 10_000)];
    let points = points.map(|(seconds, changes)| SavePoint { seconds, changes });
    for (writes, seconds) in [(1, 3600), (99, 3600), (100, 300), (9999, 300), (10_000, 60)] {
        let mut bench = Bench::new(Config { save: SavePoints(points.to_vec()), ..Config::default() });
        bench.work();
        bench.change(writes);
        bench.pass(seconds * 1000);
        assert!(bench.marker.is_none(), "{writes} writes: not within {seconds} seconds");
        bench.pass(1);
        bench.pass_marker(b"");
        bench.work();
        assert!(bench.status.figures().is_save);
        bench.save();
        let figures = bench.status.figures();
        assert_eq!((figures.dirty_at_last_save, figures.saves), (writes, 1));
        assert_eq!(bench.work(), None, "nothing to save any more");
    }
}

#[test]
fn more_changes_reach_a_point_that_time_has_passed() {
    let points = vec![SavePoint { seconds: 60, changes: 100 }];
    let mut bench = Bench::new(Config { save: SavePoints(points), ..Config::default() });
    bench.work();
    bench.change(50);
    bench.pass(100_000);
    assert!(bench.marker.is_none());
    assert_eq!(bench.work(), None, "the next write is told");
    bench.change(50);
    bench.pass(0);
    bench.pass_marker(b"");
    bench.work();
    let (snapshot, _) = bench.snapshot();
    bench.tell(ToKeeper::SaveFailed { snapshot, error: "Input/output error".into() });
    bench.pass(4999);
    assert!(bench.marker.is_none(), "not at once again");
    bench.pass(1);
    assert!(bench.marker.is_some());
}

#[test]
fn a_log_that_has_grown_is_rewritten() {
    let config = Config { auto_aof_rewrite_min_size: 1000, ..logged(Fsync::EverySecond) };
    let mut bench = Bench::new(config);
    bench.epoch(&[b'.'; 800]);
    bench.pass(1000);
    assert!(bench.marker.is_none());
    bench.epoch(&[b'.'; 800]);
    let marker = bench.pass_marker(b"");
    assert!(marker.snapshot.is_some() && marker.log);
    bench.work();
    assert!(bench.status.figures().is_rewrite);
    // It fails again and again, and is tried less and less often.
    let mut waits = Vec::new();
    for _ in 0..6 {
        let (snapshot, _) = bench.snapshot();
        bench.tell(ToKeeper::SaveFailed { snapshot, error: "Input/output error".into() });
        let since = bench.now;
        while let Some(next) = bench.work() {
            bench.now = bench.now.max(next);
        }
        waits.push(bench.now - since);
        bench.pass_marker(b"");
        bench.work();
    }
    assert_eq!(waits, [1000, 1000, 1000, 60_000, 120_000, 240_000]);
    bench.save();
    bench.pass(10_000);
    assert!(bench.marker.is_none());
}

#[test]
fn a_log_that_is_switched_on_counts_when_its_snapshot_is_whole() {
    let mut bench = Bench::new(Config { save: SavePoints(Vec::new()), ..Config::default() });
    bench.set(|config| {
        config.appendonly = true;
        config.appendfsync = Fsync::Always;
    });
    let marker = bench.pass_marker(b"");
    assert!(marker.log && !marker.hold && marker.snapshot.is_some());
    bench.work();
    bench.epoch(b"two");
    assert_eq!(bench.kept(), Kept::default());
    bench.save();
    let marker = bench.pass_marker(b"three");
    assert!(marker.hold, "from now on nothing is acknowledged that is not on disk");
    bench.work();
    let kept = Kept { base: 1, epochs: vec![(2, "two".into()), (3, "three".into())] };
    assert_eq!(bench.kept(), kept);
    // Off: the files stay.
    bench.set(|config| config.appendonly = false);
    let marker = bench.pass_marker(b"four");
    assert!(!marker.log && !marker.hold);
    bench.work();
    let kept = Kept { epochs: vec![(2, "two".into()), (3, "three".into()), (4, "four".into())], ..kept };
    assert_eq!(Kept::read(&bench.disk.after_crash(&mut Random::new(6))), kept);
    // On again: nothing new before there is a snapshot, and nothing old after.
    bench.set(|config| config.appendonly = true);
    bench.pass_marker(b"");
    bench.work();
    bench.epoch(b"six");
    assert_eq!(bench.kept(), kept);
    bench.save();
    assert_eq!(bench.kept(), Kept { base: 5, epochs: vec![(6, "six".into())] });
}

#[test]
fn a_snapshot_may_fail_before_all_shards_have_passed_its_marker() {
    let mut bench = Bench::new(Config { save: SavePoints(Vec::new()), ..Config::default() });
    for question in [Question::Save, Question::BackgroundSave { schedule: false }] {
        assert_eq!(bench.ask(question), None);
        let (snapshot, _) = bench.snapshot();
        bench.tell(ToKeeper::SaveFailed { snapshot, error: "No space left on device".into() });
        bench.pass_marker(b"");
        bench.work();
        assert_eq!(bench.answers, ["-ERR"]);
        bench.answers.clear();
    }
    // The log does not begin without the snapshot that it would go on from.
    bench.set(|config| config.appendonly = true);
    let (snapshot, _) = bench.snapshot();
    bench.tell(ToKeeper::SaveFailed { snapshot, error: "No space left on device".into() });
    assert!(bench.pass_marker(b"").log);
    bench.work();
    assert!(!bench.pass_marker(b"lost").log);
    bench.pass(TRY_AGAIN_MS);
    let epoch = bench.pass_marker(b"").epoch;
    bench.work();
    bench.epoch(b"kept");
    bench.save();
    assert_eq!(bench.kept(), Kept { base: epoch, epochs: vec![(epoch + 1, "kept".into())] });
}

#[test]
fn switching_the_log_on_is_tried_again_when_it_fails() {
    let mut bench = Bench::new(Config { save: SavePoints(Vec::new()), ..Config::default() });
    bench.set(|config| config.appendonly = true);
    bench.pass_marker(b"");
    bench.work();
    // The segment cannot be written.
    bench.fail(NO_SPACE, true, false);
    bench.epoch(b"two");
    assert_eq!(bench.refusal(), None, "nobody was promised a log yet");
    let marker = bench.pass_marker(b"three");
    assert!(!marker.log, "logging ends");
    bench.disk.fail(None);
    bench.pass(1000);
    let marker = bench.pass_marker(b"");
    assert!(marker.log && marker.snapshot.is_some());
    bench.work();
    // The snapshot fails.
    let (snapshot, _) = bench.snapshot();
    bench.tell(ToKeeper::SaveFailed { snapshot, error: "Input/output error".into() });
    bench.work();
    assert!(!bench.pass_marker(b"").log);
    bench.pass(1000);
    let epoch = bench.pass_marker(b"").epoch;
    bench.work();
    bench.epoch(b"last");
    bench.save();
    assert_eq!(bench.kept(), Kept { base: epoch, epochs: vec![(epoch + 1, "last".into())] });
}

#[test]
fn the_last_epoch_and_the_last_snapshot_are_kept_before_the_end() {
    for fsync in [Fsync::Always, Fsync::EverySecond, Fsync::No] {
        let mut bench = Bench::new(logged(fsync));
        bench.epoch(b"one");
        bench.tell(ToKeeper::Stop { save: false });
        bench.work();
        assert_eq!(bench.status.end(), End::Open);
        bench.pass_marker(b"two");
        bench.work();
        assert_eq!(bench.status.end(), End::Kept);
        assert_eq!(Kept::read(&bench.disk.after_crash(&mut Random::new(7))).records(), ["one", "two"]);
    }
    let mut bench = Bench::new(Config { save: SavePoints(Vec::new()), ..Config::default() });
    bench.tell(ToKeeper::Stop { save: true });
    bench.work();
    bench.pass_marker(b"");
    bench.work();
    assert_eq!(bench.status.end(), End::Open);
    bench.save();
    assert_eq!(bench.status.end(), End::Kept);
    assert_eq!(bench.kept().base, 1);
}

#[test]
fn a_stop_that_cannot_keep_everything_says_so_and_the_keeper_goes_on() {
    let mut bench = Bench::new(logged(Fsync::EverySecond));
    bench.epoch(b"one");
    bench.fail(NO_SPACE, true, true);
    bench.tell(ToKeeper::Stop { save: false });
    bench.work();
    bench.pass_marker(b"two");
    bench.work();
    assert_eq!(bench.status.end(), End::Failed("the log cannot be written: No space left on device".into()));
    bench.disk.fail(None);
    bench.pass(1000);
    bench.epoch(b"three");
    // A snapshot under way is given up for the last one.
    bench.ask(Question::BackgroundSave { schedule: false });
    bench.pass_marker(b"four");
    bench.work();
    bench.tell(ToKeeper::Stop { save: true });
    bench.work();
    let snapshot = bench.pass_marker(b"").snapshot.unwrap();
    bench.work();
    assert_eq!(bench.status.aborted(), snapshot - 1);
    bench.tell(ToKeeper::SaveFailed { snapshot, error: "No space left on device".into() });
    bench.work();
    assert_eq!(bench.status.end(), End::Failed("No space left on device".into()));
    bench.epoch(b"six");
    assert_eq!(bench.kept().records(), ["one", "two", "three", "four", "six"]);
}

#[test]
fn leftovers_of_a_crash_are_removed_and_their_numbers_not_used_again() {
    let mut bench = Bench::new(logged(Fsync::Always));
    bench.epoch(b"one");
    let disk = bench.disk.clone();
    disk.put(&base_name(7, 0), b"");
    disk.put(&segment_name(9), b"");
    disk.put("kv.lock", b"1");
    let manifest = Manifest::from_bytes(&disk.bytes(MANIFEST).unwrap()).unwrap();
    let mut bench = Bench::on(disk, logged(Fsync::Always), Loaded { manifest, epoch: 1 });
    bench.epoch(b"two");
    let mut names = bench.disk.names();
    names.sort();
    assert_eq!(names, ["kv.lock".into(), segment_name(1), segment_name(10), MANIFEST.into()]);
    assert_eq!(bench.kept().epochs, [(1, "one".into()), (2, "two".into())]);
}

#[test]
fn a_segment_without_frames_behind_epochs_without_records_stays_in_order_with_those_that_follow() {
    // A rewrite began at the end of epoch 3, in which nothing was logged as in epoch 2, and the process was killed when the
    // new segment was named and nothing was written to it.
    let mut bench = Bench::new(logged(Fsync::Always));
    bench.epoch(b"one");
    let disk = bench.disk.clone();
    let mut manifest = Manifest::from_bytes(&disk.bytes(MANIFEST).unwrap()).unwrap();
    let mut header = Vec::new();
    frame::write_header(&mut header, &frame::Header { id: 77, first_epoch: 4 });
    disk.put(&segment_name(2), &header);
    let shards = manifest.segments[0].shards;
    manifest.segments.push(Segment { number: 2, id: 77, first_epoch: 4, shards });
    disk.put(MANIFEST, &manifest.to_bytes());
    let mut bench = Bench::on(disk, logged(Fsync::Always), Loaded { manifest, epoch: 1 });
    assert_eq!(bench.epoch(b"four"), 4);
    assert_eq!(bench.epoch(b"five"), 5);
    let manifest = Manifest::from_bytes(&bench.disk.bytes(MANIFEST).unwrap()).expect("segments in order");
    assert_eq!(manifest.segments.iter().map(|segment| segment.first_epoch).collect::<Vec<_>>(), [1, 4, 4]);
    assert_eq!(bench.kept().records(), ["one", "four", "five"]);
}

#[test]
fn what_a_sync_could_not_make_safe_stays_in_order_when_another_snapshot_has_begun_behind_it() {
    let mut bench = Bench::new(logged(Fsync::EverySecond));
    bench.epoch(b"one");
    // A snapshot begins where nothing was logged, and what follows it cannot be made safe.
    bench.ask(Question::BackgroundRewrite);
    bench.pass_marker(b"");
    bench.work();
    bench.epoch(b"three");
    bench.fail(INPUT_OUTPUT, false, true);
    bench.pass(1000);
    assert!(bench.refusal().is_some());
    let (snapshot, _) = bench.snapshot();
    bench.tell(ToKeeper::SaveFailed { snapshot, error: "no space".to_owned() });
    // The next one begins behind that.
    bench.ask(Question::BackgroundRewrite);
    assert_eq!(bench.pass_marker(b"").epoch, 4);
    bench.work();
    bench.disk.fail(None);
    bench.pass(1000);
    assert_eq!(bench.refusal(), None);
    let after = bench.disk.after_crash(&mut Random::new(6));
    assert_eq!(Kept::read(&after).epochs, [(1, "one".into()), (3, "three".into())]);
}

#[test]
fn what_was_only_read_is_made_safe_before_anything_is_built_on_it() {
    let mut bench = Bench::new(logged(Fsync::EverySecond));
    bench.epoch(b"one");
    bench.pass(1000);
    // Written and not synced: a server that is killed here leaves it to the system's memory.
    bench.epoch(b"two");
    let disk = bench.disk.after_kill();
    let manifest = Manifest::from_bytes(&disk.bytes(MANIFEST).unwrap()).unwrap();
    let mut bench = Bench::on(disk, logged(Fsync::Always), Loaded { manifest, epoch: 2 });
    bench.epoch(b"three");
    assert_eq!(bench.status.durable(), 3);
    for seed in 0..20 {
        let after = Kept::read(&bench.disk.after_crash(&mut Random::new(seed)));
        assert_eq!(after.records(), ["one", "two", "three"], "seed {seed}");
    }
}

/// Runs a story again and again, the machine stopping at each of its steps in turn.
fn at_every_step(seed: u64, story: impl Fn(&mut Bench, &mut Vec<u64>)) {
    let mut random = Random::new(seed);
    for step in 0.. {
        let mut bench = Bench::new(logged(Fsync::Always));
        bench.disk.crash_in(Some(step));
        let mut durable = vec![0];
        let end = catch_unwind(AssertUnwindSafe(|| story(&mut bench, &mut durable)));
        bench.disk.crash_in(None);
        for _ in 0..5 {
            let kept = Kept::read(&bench.disk.after_crash(&mut random));
            let last = kept.epochs.last().map_or(kept.base, |&(epoch, _)| epoch);
            assert!(
                last >= *durable.last().unwrap(),
                "seed {seed}, step {step}: {durable:?} was durable, and is {kept:?}"
            );
        }
        if end.is_ok() {
            assert!(step > 10);
            return;
        }
    }
}

#[test]
fn whatever_was_durable_is_there_when_the_machine_stops_at_any_step() {
    for seed in 0..20 {
        at_every_step(seed, |bench, durable| {
            let note = |bench: &Bench, durable: &mut Vec<u64>| durable.push(bench.status.durable());
            bench.epoch(b"one");
            note(bench, durable);
            bench.fail(NO_SPACE, seed % 2 == 0, true);
            bench.epoch(b"two");
            bench.pass(1000);
            note(bench, durable);
            bench.disk.fail(None);
            bench.pass(1000);
            note(bench, durable);
            bench.ask(Question::BackgroundRewrite);
            bench.pass_marker(b"three");
            bench.work();
            note(bench, durable);
            bench.epoch(b"four");
            note(bench, durable);
            bench.save();
            bench.epoch(b"five");
            note(bench, durable);
        });
    }
}
