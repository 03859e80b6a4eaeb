//! SQLite's rollback journal against its write-ahead log, as an engine without a daemon uses them: many short-lived
//! processes that each open the database, change one row and close it.
//!
//! `cargo run --release -p ctr-state --example journal_bench [DIRECTORY]`
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "an example")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::Connection;

const CHANGES: u32 = 50;

fn open(path: &Path, mode: &str, synchronous: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.busy_timeout(Duration::from_mins(1)).unwrap();
    connection
        .pragma_update(None, "journal_mode", mode)
        .unwrap();
    connection
        .pragma_update(None, "synchronous", synchronous)
        .unwrap();
    connection
}

/// What one command does: opens, changes, closes; so many times.
fn work(path: &Path, mode: &str, synchronous: &str) {
    for number in 0..CHANGES {
        let mut connection = open(path, mode, synchronous);
        let transaction = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .unwrap();
        transaction
            .execute(
                "UPDATE container SET phase = ?1 WHERE id = ?2",
                [number, number % 100],
            )
            .unwrap();
        transaction.commit().unwrap();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, path, mode, synchronous] = arguments.as_slice() {
        return work(Path::new(path), mode, synchronous);
    }
    let directory = arguments.get(1).map_or_else(std::env::temp_dir, Into::into);
    println!(
        "{:10}{:8}{:>12}{:>16}",
        "journal", "sync", "processes", "µs per change"
    );
    for mode in ["delete", "wal"] {
        for synchronous in ["off", "normal", "full"] {
            for processes in [1_u32, 4] {
                let path = directory.join(format!(
                    "journal-bench-{}-{mode}-{synchronous}-{processes}",
                    std::process::id()
                ));
                let connection = open(&path, mode, synchronous);
                connection.execute_batch("CREATE TABLE container (id INTEGER PRIMARY KEY, phase INTEGER, config TEXT)").unwrap();
                for id in 0..100 {
                    connection
                        .execute(
                            "INSERT INTO container VALUES (?1, 0, ?2)",
                            (id, "x".repeat(2000)),
                        )
                        .unwrap();
                }
                // Somebody usually has it open: the log is not folded in at every close.
                let began = Instant::now();
                let itself = std::env::current_exe().unwrap();
                let children: Vec<_> = (0..processes)
                    .map(|_| {
                        Command::new(&itself)
                            .arg(&path)
                            .args([mode, synchronous])
                            .spawn()
                            .unwrap()
                    })
                    .collect();
                for mut child in children {
                    assert!(child.wait().unwrap().success());
                }
                let micros = began.elapsed().as_micros() / u128::from(processes * CHANGES);
                println!("{mode:10}{synchronous:8}{processes:>12}{micros:>16}");
                drop(connection);
                for suffix in ["", "-wal", "-shm", "-journal"] {
                    let mut name = path.clone().into_os_string();
                    name.push(suffix);
                    let _absent = std::fs::remove_file(name);
                }
            }
        }
    }
}
