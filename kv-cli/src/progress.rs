//! A bar on the standard error while there is somebody to see it: where that is a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Counts keys; `total` is a guess.
    pub fn of_keys(total: u64) -> Progress {
        Progress::new(Some(total), "{bar:30} {human_pos} of {human_len} keys, {per_sec:0} {msg}")
    }

    /// Counts bytes of a file, whose size may be unknown.
    pub fn of_bytes(total: Option<u64>) -> Progress {
        Progress::new(
            total,
            match total {
                Some(_) => "{bar:30} {binary_bytes} of {binary_total_bytes}, {binary_bytes_per_sec} {msg}",
                None => "{spinner} {binary_bytes}, {binary_bytes_per_sec} {msg}",
            },
        )
    }

    fn new(total: Option<u64>, template: &str) -> Progress {
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("=> "));
        Progress { bar }
    }

    pub fn at(&self, position: u64) {
        self.bar.set_position(position);
    }

    /// Keys in the moment: more may turn up than were guessed.
    pub fn at_least(&self, position: u64) {
        if self.bar.length().is_some_and(|length| length < position) {
            self.bar.set_length(position);
        }
        self.bar.set_position(position);
    }

    /// Tells the keys beside the bytes.
    pub fn say_keys(&self, keys: u64) {
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{keys} keys"));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
