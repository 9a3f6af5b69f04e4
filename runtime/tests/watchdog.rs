//! A task that never yields is named in the log.

use std::{
    io,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use hemi::{Runtime, spawn};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_task_that_never_yields_is_named_while_it_still_runs() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).init();
    let read = log.clone();
    let text = move || String::from_utf8(read.0.lock().unwrap().clone()).unwrap();

    let runtime = Runtime::builder().watchdog(Some(Duration::from_millis(100))).build().unwrap();
    runtime.block_on(async {
        drop(spawn(std::future::pending::<()>())); // innocent
        let spawned_on = line!() + 1;
        let hog = spawn(async move {
            let begin = Instant::now();
            // Ends when it has been named: it is, while it runs. (On a starved machine others may be named before.)
            let name = format!("watchdog.rs:{spawned_on}:");
            while !text().contains(&name) && begin.elapsed() < Duration::from_secs(300) {
                thread::sleep(Duration::from_millis(5));
            }
            text()
        });
        let said = hog.await.unwrap();
        assert!(said.contains("does not yield"), "nobody was named: {said:?}");
        assert!(said.contains(&format!("watchdog.rs:{spawned_on}:")), "another was named: {said:?}");
        // Sleeping is not stalling. If it were, every nap would be told of; one that is not shows that it is none, also
        // where the machine itself stalls now and then.
        let lines =
            || String::from_utf8(log.0.lock().unwrap().clone()).unwrap().matches("does not yield").count();
        let mut naps = 0;
        loop {
            let before = lines();
            hemi::time::sleep(Duration::from_millis(350)).await;
            naps += 1;
            if lines() == before {
                break;
            }
            assert!(naps < 20, "a sleeping core was told of {naps} times");
        }
    });
}
