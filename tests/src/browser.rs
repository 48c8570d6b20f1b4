//! Chromium without a window: what has become of a page in it, and a picture of it.

use std::ffi::OsStr;
use std::fs;
use std::process::{Command, Stdio};

use crate::process::run;

/// Names under which distributions have it.
const PROGRAMS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Nothing of its own is to be on the screen or in the network. (No sandbox: CI services run tests as root.)
const OPTIONS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--enable-logging=stderr",
    "--dump-dom",
];

#[derive(Clone, Copy, Debug)]
pub struct Browser(&'static str);

/// A page that has been opened, and whose scripts have run.
#[derive(Debug)]
pub struct Seen {
    /// What is around the page: an element in which it is, and what its scripts have put beside that.
    pub around: String,
    /// What was said on the console: errors of scripts, and what the page was forbidden.
    pub console: Vec<String>,
    pub picture: Picture,
}

#[derive(Debug)]
pub struct Picture {
    pub width: usize,
    /// Red, green and blue, row by row.
    pub pixels: Vec<[u8; 3]>,
}

impl Browser {
    /// None: there is none, and the caller is to skip its test.
    ///
    /// Panics: when there must be one.
    pub fn find() -> Option<Browser> {
        let works = |program: &&str| {
            let mut command = Command::new(program);
            command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.status().is_ok_and(|status| status.success())
        };
        let found = PROGRAMS.into_iter().find(works);
        if found.is_none() {
            crate::skip("chromium", "chromium");
        }
        found.map(Browser)
    }

    /// Opens a page in a frame of so many pixels: windows cannot be as narrow as a telephone.
    pub fn open(self, page: &str, (width, height): (u32, u32)) -> Seen {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name).display().to_string();
        let page = page.replace('&', "&amp;").replace('"', "&quot;");
        let frame = format!("width: {width}px; height: {height}px; border: 0; display: block");
        let window = format!(
            "<!doctype html><meta charset=\"utf-8\"><body style=\"margin: 0\"><iframe style=\"{frame}\" srcdoc=\"{page}\"></iframe>"
        );
        fs::write(at("window.html"), window).expect("the folder takes a file");
        let own = [
            format!("--user-data-dir={}", at("profile")),
            format!("--window-size={width},{height}"),
            format!("--screenshot={}", at("picture.png")),
            format!("file://{}", at("window.html")),
        ];
        let options = OPTIONS.iter().map(OsStr::new).chain(own.iter().map(OsStr::new));
        let output = run(self.0, &options.collect::<Vec<_>>(), b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", self.0);
        Seen {
            around: String::from_utf8(output.stdout).expect("a page is text"),
            console: said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect(),
            picture: Picture::read(&fs::read(at("picture.png")).expect("a picture was made")),
        }
    }
}

impl Picture {
    fn read(file: &[u8]) -> Picture {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("its size is known")];
        let frame = reader.next_frame(&mut bytes).expect("a whole PNG");
        let samples = frame.color_type.samples();
        assert!(samples >= 3, "it has colours");
        let pixels = bytes[..frame.buffer_size()].chunks_exact(samples).map(|pixel| [pixel[0], pixel[1], pixel[2]]);
        Picture { width: frame.width as usize, pixels: pixels.collect() }
    }

    pub fn count(&self, colour: [u8; 3]) -> usize {
        self.pixels.iter().filter(|pixel| **pixel == colour).count()
    }
}
