//! The data folder and the threads that look after it: loading at the start, then the keeper and the saver.

use super::Shared;
use super::disk::Folder;
use super::machine::{self, log};
use super::stop::Stage;
use crate::config::{Config, StartError};
use crate::engine::durability::recover::{self, Crew, Cut, Job, Progress, RecoverError, Recovered, Wanted};
use crate::engine::durability::{
    Disk, End, Inboxes, Keeper, KeeperSetup, Link, Loaded, LoadedShard, Saver, SaverSetup, Status, ToSaver,
};
use crate::engine::mail::Mail;
use crate::engine::worker::settings;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use kv_core::persist::manifest::Manifest;
use kv_core::store::{Db, KeyHasher, UnixMs};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How often a load tells how far it is.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How much the saver stands back behind the others when the processor is short.
const SAVER_NICE: i32 = 10;

/// A folder that this process has locked, with the manifest read and nothing else.
pub struct Data {
    disk: Arc<dyn Disk>,
    manifest: Manifest,
    config: Config,
    shards: usize,
    status: Arc<Status>,
    inboxes: Inboxes,
}

impl Data {
    /// Locks the folder and reads its manifest, or begins one. From here on the server is loading.
    ///
    /// Errors: the folder is in use, or cannot be used; the manifest cannot be read, or is missing.
    pub fn open(config: &Config, shards: usize, now: UnixMs) -> Result<(Data, Link), StartError> {
        let disk: Arc<dyn Disk> = Arc::new(Folder::lock(&config.dir)?);
        let manifest = match recover::read_manifest(&*disk).map_err(|error| refusal(&config.dir, &error))? {
            Some(manifest) => manifest,
            None => recover::begin(&*disk, machine::random_bytes()?).map_err(|error| {
                StartError::option("dir", format!("{}: cannot be written to: {error}", config.dir.display()))
            })?,
        };
        let status = Arc::new(Status::default());
        status.load.begin(now);
        let (link, inboxes) = Link::new(status.clone());
        Ok((Data { disk, manifest, config: config.clone(), shards, status, inboxes }, link))
    }

    pub fn hasher(&self) -> Arc<KeyHasher> {
        Arc::new(KeyHasher::new(self.manifest.hash_seed))
    }

    /// Starts the threads. When everything is loaded the workers get it, and `ready` is called. If it cannot be, the server
    /// ends, and the reason is to be received.
    pub fn keep(
        self,
        shared: Arc<Shared>,
        link: &Link,
        ready: impl FnOnce() + Send + 'static,
    ) -> io::Result<Receiver<StartError>> {
        let (outcome, failed) = bounded(1);
        let mut saver = Saver::new(SaverSetup {
            disk: self.disk.clone(),
            net: shared.net.clone(),
            status: self.status.clone(),
            keeper: link.keeper().clone(),
        });
        let pieces = self.inboxes.saver.clone();
        thread::Builder::new().name("saver".into()).spawn(move || {
            // Nobody waits for a snapshot, and it uses all the processor it can get. Where this is refused, nothing
            // is lost but a little of the others' time.
            let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), SAVER_NICE);
            pieces.iter().for_each(|message| saver.handle(message));
        })?;
        let to_saver = link.saver().clone();
        thread::Builder::new().name("keeper".into()).spawn(move || match self.start(&shared, to_saver) {
            Ok(keeper) => {
                ready();
                self.run_keeper(keeper, &shared);
            }
            Err(error) => {
                // The receiver lives as long as the main thread.
                let _ = outcome.send(error);
                shared.stop.set_stage(Stage::Ending { all_is_kept: false });
                shared.wake_workers();
                shared.stop.wake_main();
            }
        })?;
        Ok(failed)
    }

    /// Loads everything and hands it to the workers.
    fn start(&self, shared: &Shared, saver: Sender<ToSaver>) -> Result<Keeper, StartError> {
        let hasher = self.hasher();
        let wanted = Wanted {
            shards: self.shards,
            databases: self.config.databases as usize,
            settings: settings(&self.config, &hasher),
            seed: u64::from_le_bytes(machine::random_bytes()?),
            now: shared.now_ms(),
        };
        let Recovered { shards, epoch, cut, .. } = self.load(&wanted)?;
        if let Some(cut) = cut {
            tell_cut(&cut, epoch);
        }
        let loaded = Loaded { manifest: self.manifest.clone(), epoch };
        let last = loaded.marker(&self.config);
        let keeper = Keeper::new(KeeperSetup {
            disk: self.disk.clone(),
            net: shared.net.clone(),
            status: self.status.clone(),
            saver,
            config: Box::new(self.config.clone()),
            loaded,
            seed: u64::from_le_bytes(machine::random_bytes()?),
            report: Box::new(log),
            now: shared.now_ms(),
        });
        for shard in shards {
            shared.net.send(shard.index, Mail::Loaded(Box::new(LoadedShard { shard, last })));
        }
        self.status.load.end();
        Ok(keeper)
    }

    fn load(&self, wanted: &Wanted) -> Result<Recovered, StartError> {
        if self.manifest.base.is_none() && self.manifest.segments.is_empty() {
            log("the data folder is empty");
        }
        let progress = &self.status.load.progress;
        #[allow(clippy::disallowed_methods)] // for people: how long it took
        let begun = Instant::now();
        let result = watched(progress, || recover::recover(&*self.disk, &self.manifest, wanted, &Threads, progress));
        let recovered = result.map_err(|error| refusal(&self.config.dir, &error))?;
        let keys: usize = recovered.shards.iter().flat_map(|shard| &shard.dbs).map(Db::len).sum();
        let seconds = begun.elapsed().as_secs_f64();
        if progress.total_bytes() > 0 {
            log(&format!(
                "loaded {keys} keys in {seconds:.2} s: {} of the snapshot, and {} epochs of the log",
                recovered.base_keys, recovered.epochs
            ));
        }
        Ok(recovered)
    }

    /// Runs until the process ends: the saver, which waits for it, may tell it something at any time.
    fn run_keeper(&self, mut keeper: Keeper, shared: &Shared) {
        let mut was_open = true;
        loop {
            let next = keeper.work(shared.now_ms());
            let is_open = self.status.end() == End::Open;
            if was_open && !is_open {
                shared.stop.wake_main();
            }
            was_open = is_open;
            if keeper.is_waited_for() {
                shared.look_around(|| !self.inboxes.keeper.is_empty());
            }
            let message = match next {
                None => self.inboxes.keeper.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(moment) => {
                    let ms = moment.saturating_sub(shared.now_ms());
                    self.inboxes.keeper.recv_timeout(Duration::from_millis(ms))
                }
            };
            match message {
                Ok(message) => keeper.handle(message, shared.now_ms()),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            while let Ok(message) = self.inboxes.keeper.try_recv() {
                keeper.handle(message, shared.now_ms());
            }
        }
    }
}

/// Why the server does not start, and what helps.
fn refusal(dir: &Path, error: &RecoverError) -> StartError {
    let text = format!("{}: {error}", dir.display());
    if error.databases_needed.is_some() {
        return StartError::other(text);
    }
    let dir = dir.display();
    StartError::other(format!("{text}; for what can be done see: kv-server check {dir}"))
}

fn tell_cut(cut: &Cut, epoch: u64) {
    let Cut { file, offset, bytes } = cut;
    log(&format!(
        "the log ends in an epoch that is not whole, as a crash leaves it: the last {bytes} bytes of {file}, from byte {offset} \
         on, are left out; the state is the one after epoch {epoch}"
    ));
}

/// Runs `load` and tells every second how far it is.
fn watched<T: Send>(progress: &Progress, load: impl FnOnce() -> T + Send) -> T {
    let (done, is_done) = bounded::<()>(0);
    thread::scope(|scope| {
        scope.spawn(move || {
            while let Err(RecvTimeoutError::Timeout) = is_done.recv_timeout(TELL_EVERY) {
                log(&format!("loading: {:.0} %, {} keys", progress.percent(), progress.keys()));
            }
        });
        let result = load();
        drop(done);
        result
    })
}

/// A thread for each core, or for each job if there are fewer.
pub struct Threads;

impl Crew for Threads {
    fn run<'a>(&self, jobs: Vec<Job<'a>>) {
        let threads = thread::available_parallelism().map_or(1, |n| n.get()).min(jobs.len());
        if threads <= 1 {
            return jobs.into_iter().for_each(|job| job());
        }
        let jobs = Mutex::new(jobs.into_iter());
        let next = || jobs.lock().unwrap_or_else(PoisonError::into_inner).next();
        thread::scope(|scope| {
            for number in 1..threads {
                // Without a thread the others do its work.
                let _ = thread::Builder::new().name(format!("loader-{number}")).spawn_scoped(scope, || {
                    while let Some(job) = next() {
                        job();
                    }
                });
            }
            while let Some(job) = next() {
                job();
            }
        });
    }
}
