//! The command line.
//!
//! Promise: exit status 0 when it worked, 1 when it failed, 2 when the command or its configuration has mistakes, all of
//! which are listed with their lines.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, SourceKind};
use crate::source::dbc_files;
use crate::spool::SpoolReader;
use crate::{check, decode, examine, pages, replay, run, status};

/// Most bytes a configuration file may have.
const CONFIG_BYTES_MAX: u64 = 128 * 1024;

/// Records what happens to a vehicle and hands it to the gateway without loss.
#[derive(Parser)]
#[command(name = "milepost-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the agent.
    Run(ConfigFile),
    /// Check the configuration and everything it names, and say what would happen.
    Check(ConfigFile),
    /// Run the agent with recorded inputs, faster than they were recorded.
    Replay {
        #[command(flatten)]
        config: ConfigFile,
        /// How many times faster.
        #[arg(long, default_value_t = 1.0)]
        speed: f64,
        /// NMEA recording to feed through a pseudo terminal in place of the nmea_serial source's device.
        #[arg(long)]
        nmea: PathBuf,
    },
    /// Say how a running agent is.
    Status {
        #[command(flatten)]
        config: ConfigFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Look into a spool file that no agent is running on.
    Spool {
        #[command(subcommand)]
        look: SpoolLook,
    },
    /// Decode recorded bytes to JSON lines.
    Decode {
        #[command(subcommand)]
        input: DecodeInput,
    },
}

#[derive(clap::Args)]
struct ConfigFile {
    /// The configuration file.
    #[arg(long)]
    config: PathBuf,
}

#[derive(clap::Args)]
struct SpoolFile {
    /// The spool file; its `-wal`, if there is one, must lie beside it.
    #[arg(long)]
    spool: PathBuf,
}

#[derive(Subcommand)]
enum SpoolLook {
    /// Say what it holds.
    Inspect {
        #[command(flatten)]
        file: SpoolFile,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Say whether it is in order; the exit status is 1 when it is not.
    Verify {
        #[command(flatten)]
        file: SpoolFile,
    },
    /// Write everything in it as JSON lines.
    Export {
        #[command(flatten)]
        file: SpoolFile,
        /// Folder for photos and signatures.
        #[arg(long)]
        blobs: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
enum DecodeInput {
    /// NMEA 0183: one line per fix epoch.
    Nmea {
        /// The recording; standard input when absent.
        file: Option<PathBuf>,
    },
    /// A candump log: one line per decoded message.
    Can {
        /// DBC file to decode by, in place of the built-in tables; may be given several times.
        #[arg(long)]
        dbc: Vec<PathBuf>,
        /// The log; standard input when absent.
        file: Option<PathBuf>,
    },
}

/// Does what the command line asks.
#[must_use]
pub fn main() -> ExitCode {
    // Every use of reqwest needs one, also for plain HTTP; a second installation would change nothing.
    drop(rustls::crypto::ring::default_provider().install_default());
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Run(file) => with_config(&file, run_until_signal),
        Command::Check(file) => return check_config(&file),
        Command::Replay { config, speed, nmea } => {
            with_config(&config, |config| replay_until_signal(config, &nmea, speed))
        }
        Command::Status { config, json } => with_config(&config, |config| print_status(&config, json)),
        Command::Spool { look } => look_into_spool(&look),
        Command::Decode { input } => decode_input(&input),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("milepost-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the file, or lists its mistakes.
fn read_config(file: &ConfigFile) -> anyhow::Result<Result<Config, ExitCode>> {
    let path = &file.config;
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes));
    opened.with_context(|| format!("failed to read {}", path.display()))?;
    if bytes.len() as u64 > CONFIG_BYTES_MAX {
        anyhow::bail!("{} has more than {CONFIG_BYTES_MAX} bytes; name the agent's configuration", path.display());
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = good.iter().filter(|&&byte| byte == b'\n').count() + 1;
            eprintln!("{}: line {line}: is not text in UTF-8", path.display());
            return Ok(Err(ExitCode::from(2)));
        }
    };
    Ok(Config::parse(&text, path.parent().unwrap_or(Path::new("."))).map_err(|faults| {
        faults.iter().for_each(|fault| eprintln!("{}: {fault}", path.display()));
        ExitCode::from(2)
    }))
}

fn with_config(file: &ConfigFile, work: impl FnOnce(Config) -> anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    match read_config(file)? {
        Ok(config) => work(config).map(|()| ExitCode::SUCCESS),
        Err(code) => Ok(code),
    }
}

fn check_config(file: &ConfigFile) -> ExitCode {
    let config = match read_config(file) {
        Ok(Ok(config)) => config,
        Ok(Err(code)) => return code,
        Err(error) => {
            eprintln!("milepost-agent: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let findings = check::check(&config);
    findings.iter().for_each(|finding| println!("{finding}"));
    if findings.iter().all(check::Finding::is_good) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start the runtime")
}

/// Runs until SIGTERM or SIGINT.
fn run_until_signal(config: Config) -> anyhow::Result<()> {
    start_logging();
    let shutdown = CancellationToken::new();
    runtime()?.block_on(async {
        tokio::spawn(cancel_on_signal(shutdown.clone()));
        run::run(config, Clock::system(), shutdown).await
    })
}

/// Runs with the receiver's recording in place of the first serial receiver.
fn replay_until_signal(mut config: Config, nmea: &Path, speed: f64) -> anyhow::Result<()> {
    start_logging();
    let shutdown = CancellationToken::new();
    runtime()?.block_on(async {
        tokio::spawn(cancel_on_signal(shutdown.clone()));
        let feed = replay::feed(nmea, speed, shutdown.clone())?;
        let receiver = config.sources.iter_mut().find_map(|source| match &mut source.kind {
            SourceKind::NmeaSerial { path, .. } => Some(path),
            _ => None,
        });
        *receiver.context("the configuration has no nmea_serial source to feed the recording to")? = feed.slave;
        run::run(config, Clock::replay(feed.began, speed), shutdown).await
    })
}

async fn cancel_on_signal(shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
}

fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("MILEPOST_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

fn print_status(config: &Config, json: bool) -> anyhow::Result<()> {
    let listen = config.http.as_ref().context("the configuration has no [http] section, so nobody can be asked")?;
    let status = runtime()?.block_on(status::fetch(listen.listen))?;
    if json {
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        print!("{}", pages::render_terminal(&status));
    }
    Ok(())
}

fn look_into_spool(look: &SpoolLook) -> anyhow::Result<ExitCode> {
    let (SpoolLook::Inspect { file, .. } | SpoolLook::Verify { file } | SpoolLook::Export { file, .. }) = look;
    let path = &file.spool;
    let reader = SpoolReader::open(path).with_context(|| format!("failed to read the spool {}", path.display()))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut in_order = true;
    match look {
        SpoolLook::Inspect { json: true, .. } => {
            writeln!(out, "{}", serde_json::to_string_pretty(&examine::inspect(&reader)?)?)?;
        }
        SpoolLook::Inspect { .. } => write!(out, "{}", examine::inspect(&reader)?)?,
        SpoolLook::Verify { .. } => {
            let findings = examine::verify(&reader)?;
            findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
            in_order = findings.is_empty();
            writeln!(out, "{}", if in_order { "in order" } else { "not in order" })?;
        }
        SpoolLook::Export { blobs, .. } => examine::export(&reader, &mut out, blobs.as_deref())?,
    }
    out.flush()?;
    Ok(if in_order { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn decode_input(input: &DecodeInput) -> anyhow::Result<ExitCode> {
    let (DecodeInput::Nmea { file } | DecodeInput::Can { file, .. }) = input;
    let reader: Box<dyn BufRead> = match file {
        Some(path) => {
            let file = File::open(path).with_context(|| format!("failed to open {}", path.display()))?;
            Box::new(BufReader::new(file))
        }
        None => Box::new(io::stdin().lock()),
    };
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut faults = io::stderr().lock();
    match input {
        DecodeInput::Nmea { .. } => decode::nmea(reader, &mut out, &mut faults)?,
        DecodeInput::Can { dbc, .. } if dbc.is_empty() => decode::can(reader, &mut out, &mut faults)?,
        DecodeInput::Can { dbc, .. } => {
            let (database, mistakes) = dbc_files::load(dbc);
            mistakes.iter().try_for_each(|mistake| writeln!(faults, "{mistake}"))?;
            decode::can_by(&database, reader, &mut out, &mut faults)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
