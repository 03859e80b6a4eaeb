//! Many commands at once.

use crate::sandbox;

#[test]
fn root_one_name_is_given_once() {
    let sandbox = sandbox();
    let racers: Vec<_> = (0..8)
        .map(|_| sandbox.start(&["create", "--name", "c", "bb", "true"]))
        .collect();
    let won = racers
        .into_iter()
        .filter_map(|racer| racer.wait_with_output().ok())
        .filter(|output| output.status.success());
    assert_eq!(won.count(), 1);
    sandbox.assert_nothing_left();
}

#[test]
fn root_starts_stops_and_removals_race_without_harm() {
    let sandbox = sandbox();
    for _ in 0..3 {
        sandbox
            .ctrs(&["create", "--name", "c", "bb", "sleep", "1000"])
            .ok();
        let commands: [&[&str]; 6] = [
            &["start", "c"],
            &["start", "c"],
            &["stop", "-t", "0", "c"],
            &["rm", "-f", "c"],
            &["inspect", "c"],
            &["ps", "-a"],
        ];
        let racers: Vec<_> = commands
            .iter()
            .map(|command| sandbox.start(command))
            .collect();
        for racer in racers {
            let output = racer.wait_with_output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!text.contains("panicked"), "{text}");
        }
        sandbox.assert_nothing_left();
    }
}

#[test]
fn root_runs_go_on_side_by_side() {
    let sandbox = sandbox();
    let runs: Vec<_> = (0..8)
        .map(|i| {
            (
                i,
                sandbox.start(&["run", "--rm", "bb", "sh", "-c", &format!("exit {i}")]),
            )
        })
        .collect();
    for (i, run) in runs {
        let output = run.wait_with_output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(i),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    sandbox.assert_nothing_left();
}
