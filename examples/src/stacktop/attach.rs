//! Finding stacks and listening to them.

use std::{
    io::{self, BufRead, BufReader, Read},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, Sender, channel},
    thread,
};

use hemi::net::stats::Sample;

/// A sample is at most about half a megabyte; whoever sends more is no stack of ours.
const LONGEST: u64 = 8 << 20;

/// What came from the stack with this index.
#[derive(Debug)]
pub enum News {
    /// What it does now.
    Sample(usize, Box<Sample>),
    /// It will say nothing more, and why.
    Ended(usize, String),
}

/// The stacks that were found at a path.
#[derive(Debug)]
pub struct Attached {
    /// How many there are.
    pub stacks: usize,
    /// What they tell, in one row.
    pub news: Receiver<News>,
}

/// Connect to the stack at `path`, and to those at `path.1`, `path.2` and so on (other cores, other transports) while there are any.
///
/// # Errors
/// When nobody listens at `path`.
pub fn attach(path: &Path) -> io::Result<Attached> {
    let (tell, news) = channel();
    listen(0, UnixStream::connect(path)?, tell.clone());
    let mut stacks = 1;
    let numbered = |n: usize| PathBuf::from(format!("{}.{n}", path.display()));
    while let Ok(stream) = UnixStream::connect(numbered(stacks)) {
        listen(stacks, stream, tell.clone());
        stacks += 1;
    }
    Ok(Attached { stacks, news })
}

fn listen(stack: usize, stream: UnixStream, tell: Sender<News>) {
    thread::spawn(move || {
        let mut lines = BufReader::new(stream);
        let why = loop {
            match read(&mut lines) {
                Ok(Some(sample)) => {
                    if tell.send(News::Sample(stack, Box::new(sample))).is_err() {
                        return; // nobody wants to know any more
                    }
                }
                Ok(None) => break "the program has ended".to_owned(),
                Err(e) => break e.to_string(),
            }
        };
        let _ = tell.send(News::Ended(stack, why));
    });
}

fn read(lines: &mut BufReader<UnixStream>) -> io::Result<Option<Sample>> {
    let mut line = Vec::new();
    if lines.by_ref().take(LONGEST).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        return if line.len() as u64 == LONGEST {
            Err(io::Error::new(io::ErrorKind::InvalidData, "what is said there is not from a hemi stack"))
        } else {
            Ok(None) // it ended in the middle of a sample
        };
    }
    let sample: Sample = serde_json::from_slice(&line)?;
    if sample.version == Sample::VERSION {
        return Ok(Some(sample));
    }
    let other = format!(
        "it tells samples of version {}, this stacktop reads version {}",
        sample.version,
        Sample::VERSION
    );
    Err(io::Error::new(io::ErrorKind::InvalidData, other))
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::net::UnixListener};

    use super::*;

    fn heard(said: &[u8]) -> Vec<News> {
        let path = std::env::temp_dir().join(format!("hemi-attach-{}-{}", std::process::id(), said.len()));
        let listener = UnixListener::bind(&path).unwrap();
        let attached = attach(&path).unwrap();
        listener.accept().unwrap().0.write_all(said).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(attached.stacks, 1);
        attached.news.iter().collect()
    }

    const SAMPLE: &str = r#"{"version":1,"pid":7,"at":5,"about":"tap:","total":0,"states":{},"connections":[],"counters":[],"device":[]}"#;

    #[test]
    fn whole_samples_are_heard_and_then_the_end() {
        let news = heard(format!("{SAMPLE}\n{SAMPLE}\n{{\"version\"").as_bytes());
        let [News::Sample(0, first), News::Sample(0, _), News::Ended(0, why)] = &news[..] else {
            panic!("{news:?}")
        };
        assert_eq!((first.pid, why.as_str()), (7, "the program has ended"));
    }

    #[test]
    fn something_else_and_another_version_are_named() {
        let news = heard(b"HTTP/1.1 400 Bad Request\n");
        assert!(matches!(&news[..], [News::Ended(0, why)] if why.contains("expected value")), "{news:?}");
        let news = heard(format!("{}\n", SAMPLE.replace("\"version\":1", "\"version\":22")).as_bytes());
        assert!(matches!(&news[..], [News::Ended(0, why)] if why.contains("version 22")), "{news:?}");
    }
}
