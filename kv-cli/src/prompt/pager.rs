//! Long replies, a screen at a time: by `$KVCLI_PAGER`, `$PAGER` or less, whatever is there; `KVCLI_PAGER=` shows them at once.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use ratatui::crossterm::terminal;

/// Writes a text to the standard output, through the pager if it has more lines than the terminal.
pub fn show(text: &[u8]) -> io::Result<()> {
    let (columns, rows) = terminal::size().unwrap_or((80, 24));
    if rows_of(text, usize::from(columns.max(1))) < usize::from(rows) || !paged(text) {
        let mut out = io::stdout().lock();
        out.write_all(text)?;
        out.flush()?;
    }
    Ok(())
}

/// Whether a pager has shown it.
fn paged(text: &[u8]) -> bool {
    let named = std::env::var("KVCLI_PAGER").or_else(|_| std::env::var("PAGER"));
    let pager = named.as_deref().unwrap_or("less").trim();
    if pager.is_empty() {
        return false;
    }
    let mut command = Command::new("sh");
    command.args(["-c", pager]).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX"); // colours are passed on, the text stays on the screen
    }
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(text); // who has seen enough closes it
    }
    // 127: the shell has not found it.
    child.wait().is_ok_and(|status| status.code() != Some(127))
}

/// Rows that a text takes on a terminal so wide. Colours count as text: a screen too early does no harm.
fn rows_of(text: &[u8], columns: usize) -> usize {
    let rows = |line: &[u8]| String::from_utf8_lossy(line).chars().count().div_ceil(columns).max(1);
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.split(|byte| *byte == b'\n').map(rows).sum()
}

#[cfg(test)]
mod tests {
    use super::rows_of;

    #[test]
    fn long_lines_take_several_rows() {
        assert_eq!(rows_of(b"a\n\nb\n", 80), 3);
        assert_eq!(rows_of(&[b'x'; 81], 80), 2);
        assert_eq!(rows_of(&[b'x'; 80], 80), 1);
    }
}
