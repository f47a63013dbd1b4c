//! Lines on a terminal that are drawn anew in their place.

use console::Term;
use std::io;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Time between two drawings.
const REDRAW: Duration = Duration::from_millis(250);

/// Draws lines on standard error, a few times a second where they changed, from a thread of its own.
pub(super) struct Screen {
    notes: Sender<String>,
    drawing: JoinHandle<()>,
}

impl Screen {
    /// Of the lines that `lines` gives for a width and a height: fewer than the height, and none wider than the width.
    pub(super) fn new(lines: impl Fn(usize, usize) -> Vec<String> + Send + 'static) -> Self {
        let (notes, heard) = channel::<String>();
        let drawing = std::thread::spawn(move || {
            let (term, mut drawn) = (Term::buffered_stderr(), Vec::new());
            loop {
                let first = heard.recv_timeout(REDRAW);
                let is_last = first == Err(RecvTimeoutError::Disconnected);
                let notes: Vec<String> = first.into_iter().chain(heard.try_iter()).collect();
                let (height, width) = term.size();
                let next = lines(usize::from(width), usize::from(height));
                // A terminal that is gone shows nothing.
                let _ = redraw(&term, &drawn, &notes, &next);
                drawn = next;
                if is_last {
                    return;
                }
            }
        });
        Self { notes, drawing }
    }

    /// Says a line above the others.
    pub(super) fn note(&self, line: &str) {
        // The thread listens until it is closed.
        let _ = self.notes.send(line.to_owned());
    }

    /// Draws the last state, which stays.
    pub(super) fn close(self) {
        drop(self.notes);
        let _ = self.drawing.join();
    }
}

/// Puts `notes` and below them `next` in the place of `drawn`, all in one write. The cursor is left on the line below,
/// so that what is typed, or `^C`, does not shift the lines.
fn redraw(term: &Term, drawn: &[String], notes: &[String], next: &[String]) -> io::Result<()> {
    if notes.is_empty() && drawn == next {
        return Ok(());
    }
    // Line by line: some terminals keep what is cleared from the top of the screen in their history.
    term.clear_line()?;
    term.clear_last_lines(drawn.len())?;
    for line in notes.iter().chain(next) {
        term.write_line(line)?;
    }
    term.flush()
}
