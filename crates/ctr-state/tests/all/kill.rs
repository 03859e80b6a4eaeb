//! kill -9 at any moment: writers are killed in the middle; what they acknowledged is there, what they wrote is whole.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ctr_state::store::Expect;
use ctr_state::{Grade, Store};

use crate::fixture::{container, store_with_image};

const DATABASE: &str = "CTR_STATE_KILL_DATABASE";

/// Not a test of its own: the writer that [`writers_killed_at_random_lose_nothing`] starts again and again.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the parent test hands the path over this way"
)]
fn writer() {
    let Some(path) = std::env::var_os(DATABASE) else {
        return;
    };
    let mut store = Store::open(path.as_ref(), Expect::Existing).unwrap();
    loop {
        let (first, second) = (container("x"), container("x"));
        let name = |id: &ctr_types::ContainerId| format!("c{}", id.short()).parse().unwrap();
        let (mut a, mut b) = (first, second);
        a.config.name = name(&a.config.id);
        b.config.name = name(&b.config.id);
        let outcome: Result<(), ctr_state::StoreError> = store.transact(Grade::Volatile, |txn| {
            txn.insert_container(&a)?;
            txn.insert_container(&b)
        });
        outcome.unwrap();
        // A line says: the pair is committed.
        let mut out = std::io::stdout();
        std::io::Write::write_all(
            &mut out,
            format!("\npair {} {}\n", a.config.id, b.config.id).as_bytes(),
        )
        .unwrap();
    }
}

#[test]
fn writers_killed_at_random_lose_nothing() {
    let (dir, store) = store_with_image();
    let path = dir.path().join("state.db");
    let mut acknowledged = Vec::new();
    let (mut kills, started) = (0_u32, Instant::now());
    while kills < 40 && started.elapsed() < Duration::from_secs(30) {
        let mut writers: Vec<_> = (0..3)
            .map(|_| {
                Command::new(std::env::current_exe().unwrap())
                    .args(["--exact", "kill::writer", "--nocapture", "--test-threads=1"])
                    .env(DATABASE, &path)
                    .stdout(Stdio::piped())
                    .stderr(Stdio::null())
                    .spawn()
                    .unwrap()
            })
            .collect();
        // Let each commit a few pairs; the kill then falls wherever the writer happens to be.
        for (index, writer) in writers.iter_mut().enumerate() {
            let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines();
            let wanted = 1 + index + usize::try_from(kills % 5).unwrap();
            for _ in 0..wanted {
                let pair = lines
                    .by_ref()
                    .map(Result::unwrap)
                    .find(|l| l.starts_with("pair "));
                acknowledged.extend(pair);
            }
            writer.kill().unwrap();
            acknowledged.extend(lines.map_while(Result::ok).filter(|l| {
                // A line cut short by the kill acknowledges nothing.
                l.starts_with("pair ") && l.len() == 5 + 64 + 1 + 64
            }));
            writer.wait().unwrap();
            kills += 1;
        }
    }
    assert!(kills >= 20, "only {kills} kills in time");
    store.verify().unwrap();
    let rows = store.container_rows().unwrap();
    assert_eq!(rows.len() % 2, 0, "a pair is whole or absent");
    let ids: std::collections::HashSet<String> = rows
        .into_iter()
        .map(|row| row.unwrap().id.to_string())
        .collect();
    assert!(acknowledged.len() > 20);
    for pair in acknowledged {
        for id in pair.split(' ').skip(1) {
            assert!(ids.contains(id), "acknowledged and lost: {id}");
        }
    }
}
