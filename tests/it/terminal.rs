//! A pseudo-terminal: what a program prints for a person.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A terminal that programs print to.
pub struct Terminal {
    controller: OwnedFd,
    program_side: File,
}

impl Terminal {
    pub fn open() -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("the system has pseudo-terminals");
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap().into_string().unwrap();
        Self { controller, program_side: OpenOptions::new().read(true).write(true).open(name).unwrap() }
    }

    /// For a program's standard output or standard error.
    pub fn stdio(&self) -> Stdio {
        self.program_side.try_clone().unwrap().into()
    }

    /// Types a text, which a program reads from its standard input.
    pub fn type_in(&self, text: &str) {
        rustix::io::write(&self.controller, text.as_bytes()).expect("the terminal is open");
    }

    /// Everything that is printed until this text is complete, or until the last program has ended. The command that got
    /// [`Self::stdio`] must have been dropped.
    pub fn read_until(self, end: &str) -> String {
        // Otherwise the end of the last program would not end the input.
        drop(self.program_side);
        let (mut controller, mut printed, mut chunk) = (File::from(self.controller), Vec::new(), [0; 4096]);
        loop {
            match controller.read(&mut chunk) {
                Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => break,
                read => printed.extend(&chunk[..read.unwrap()]),
            }
            if !end.is_empty() && String::from_utf8_lossy(&printed).contains(end) {
                break;
            }
        }
        String::from_utf8(printed).unwrap().replace("\r\n", "\n")
    }
}

/// What the command prints to a terminal that is its standard output, and its exit code.
pub fn run_in_terminal(mut command: Command) -> (String, Option<i32>) {
    let terminal = Terminal::open();
    let mut child = command.stdin(Stdio::null()).stdout(terminal.stdio()).stderr(Stdio::inherit()).spawn().unwrap();
    drop(command);
    let printed = terminal.read_until("");
    (printed, child.wait().unwrap().code())
}
