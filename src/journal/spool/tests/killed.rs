//! A process that writes the spool is killed.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;

const FOLDER: &str = "SPOOL_OF_KILLED_PROCESS";

/// The process to kill: adds records, and prints their number after each batch.
#[test]
#[ignore = "only the next test runs it, as a process of its own"]
fn process_to_kill() {
    let mut spool = Spool::open(Path::new(&env::var_os(FOLDER).unwrap()), u64::MAX).unwrap();
    loop {
        let next = spool.len();
        spool.append(None, &records(next..next + 3), &[], "a").unwrap();
        writeln!(io::stdout(), "{}", spool.len()).unwrap();
    }
}

#[test]
fn killed_process_leaves_every_batch_whose_append_returned() {
    let folder = tempfile::tempdir().unwrap();
    let test = module_path!().split_once("::").unwrap().1;
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", &format!("{test}::process_to_kill"), "--ignored", "--nocapture"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut counts = lines.filter_map(|line| line.parse::<u64>().ok());
    let answered = counts.nth(20).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let answered = counts.last().unwrap_or(answered);
    let spool = open(&folder);
    assert!([answered, answered + 3].contains(&spool.len()), "{} after {answered}", spool.len());
    assert_eq!(all(&spool), records(0..spool.len()));
}
