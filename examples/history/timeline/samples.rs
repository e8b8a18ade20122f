//! Samples in the file format of `promtool tsdb create-blocks-from openmetrics`.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};
use stream_live_exporter::event::Timestamp;

/// A file of samples for the database in `folder`. It has no metadata, because blocks do not store any.
pub struct Samples<'a> {
    folder: &'a Path,
    file: PathBuf,
    output: BufWriter<File>,
}

impl<'a> Samples<'a> {
    pub fn create(folder: &'a Path) -> anyhow::Result<Self> {
        let file = folder.join("samples.om");
        let output = File::create(&file).with_context(|| format!("cannot create {}", file.display()))?;
        Ok(Self { folder, file, output: BufWriter::new(output) })
    }

    /// Adds the samples of an exposition, with the labels of its target.
    pub fn scrape(&mut self, exposition: &str, target: &[(&str, &str)], at: Timestamp) -> io::Result<()> {
        let target = format(target);
        for line in exposition.lines().filter(|line| !line.starts_with('#')) {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            match series.strip_suffix('}') {
                Some(labelled) => self.write(&format!("{labelled},{target}}}"), value, at)?,
                None => self.write(&format!("{series}{{{target}}}"), value, at)?,
            }
        }
        Ok(())
    }

    pub fn add(&mut self, name: &str, labels: &[(&str, &str)], at: Timestamp, value: f64) -> io::Result<()> {
        self.write(&format!("{name}{{{}}}", format(labels)), &value.to_string(), at)
    }

    fn write(&mut self, series: &str, value: &str, at: Timestamp) -> io::Result<()> {
        let millis = at.as_millis();
        writeln!(self.output, "{series} {value} {}.{:03}", millis / 1000, millis % 1000)
    }

    /// Adds the samples to the database and removes the file.
    pub fn load(mut self, promtool: &Path) -> anyhow::Result<()> {
        writeln!(self.output, "# EOF")?;
        self.output.flush()?;
        let output = Command::new(promtool)
            .args(["tsdb", "create-blocks-from", "--max-block-duration=24h", "openmetrics"])
            .args([&self.file, &self.folder.join("data")])
            .output()
            .with_context(|| format!("cannot run {}", promtool.display()))?;
        let messages = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{} rejects {}: {messages}", promtool.display(), self.file.display());
        Ok(fs::remove_file(&self.file)?)
    }
}

fn format(labels: &[(&str, &str)]) -> String {
    let escape = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
    labels.join(",")
}
